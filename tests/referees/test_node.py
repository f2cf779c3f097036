"""The referees themselves: they accept what is right and refuse what is wrong."""

import json
import struct

import numpy as np

from tests.referees import node


def _glb(document: dict[str, object]) -> bytes:
    text = json.dumps(document).encode()
    text += b" " * (-len(text) % 4)
    return struct.pack("<4sII", b"glTF", 2, 20 + len(text)) + struct.pack("<I4s", len(text), b"JSON") + text


def test_khronos_validator_accepts_an_empty_document_and_refuses_a_broken_one():
    node.assert_valid_glb(_glb({"asset": {"version": "2.0"}}))
    assert node.validate_glb(_glb({"asset": {}}))["issues"]["numErrors"] >= 1


def test_mikktspace_reference_follows_u_on_a_flat_triangle():
    positions = np.float32([[0, 0, 0], [1, 0, 0], [0, 1, 0]])
    normals = np.tile(np.float32([0, 0, 1]), (3, 1))
    uvs = np.float32([[0, 0], [1, 0], [0, 1]])
    tangents = node.mikktspace_tangents(positions, normals, uvs)
    np.testing.assert_allclose(tangents[:, :3], np.tile([1, 0, 0], (3, 1)), atol=1e-6)
    assert (np.abs(tangents[:, 3]) == 1).all()


def test_assimp_reads_a_mesh():
    scene = node.assimp_read(b"v 0 0 0\nv 1 0 0\nv 0 1 0\nf 1 2 3\n", "triangle.obj")
    assert scene["meshes"][0]["faces"] == [[0, 1, 2]]
