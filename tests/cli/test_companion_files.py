"""Which files beside a mesh are sent with it, and that nothing else of the disk is."""

import json
from pathlib import Path

import numpy as np
import pytest

from bridge_server.cli.companion_files import find_companions
from bridge_server.stages.fbx_nodes import node, write_file


def found(mesh: Path) -> dict[str, str]:
    return {name: path.name for name, path in find_companions(mesh).items()}


def test_an_obj_brings_its_libraries_and_their_textures(tmp_path: Path) -> None:
    (tmp_path / "maps").mkdir()
    for name in ("maps/wood grain.png", "bump.jpg", "unused.png"):
        (tmp_path / name).touch()
    (tmp_path / "chair.mtl").write_text(
        "newmtl a\nmap_Kd maps\\wood grain.png\nnewmtl b\nmap_Bump -bm 0.5 bump.jpg\nmap_Ks missing.png\n"
    )
    (tmp_path / "chair.obj").write_text("# chair\nmtllib chair.mtl\nv 0 0 0\n")
    assert found(tmp_path / "chair.obj") == {
        "chair.mtl": "chair.mtl",
        "maps/wood grain.png": "wood grain.png",
        "bump.jpg": "bump.jpg",
    }


def test_a_gltf_brings_its_buffers_and_images(tmp_path: Path) -> None:
    for name in ("chair.bin", "base color.png"):
        (tmp_path / name).touch()
    document = {
        "buffers": [{"uri": "chair.bin"}, {"uri": "data:application/octet-stream;base64,AA=="}, {}],
        "images": [{"uri": "base%20color.png"}, {"bufferView": 0}],
    }
    (tmp_path / "chair.gltf").write_text(json.dumps(document))
    assert found(tmp_path / "chair.gltf") == {"chair.bin": "chair.bin", "base color.png": "base color.png"}


def test_references_out_of_the_folder_are_found_by_their_bare_name(tmp_path: Path) -> None:
    (tmp_path / "textures").mkdir()
    (tmp_path / "model").mkdir()
    (tmp_path / "textures" / "wood.png").touch()
    (tmp_path / "model" / "stone.png").touch()
    (tmp_path / "model" / "a.mtl").write_text("map_Kd ../textures/wood.png\nmap_Ks C:\\stuff\\stone.png\n")
    (tmp_path / "model" / "a.obj").write_text("mtllib a.mtl\n")
    assert found(tmp_path / "model" / "a.obj") == {"a.mtl": "a.mtl", "wood.png": "wood.png", "stone.png": "stone.png"}


@pytest.mark.parametrize("reference", ["/etc/passwd", "../../secret.txt", "id_rsa", "bad\0name.mtl"])
def test_a_mesh_cannot_name_just_any_file(tmp_path: Path, reference: str) -> None:
    (tmp_path / "id_rsa").write_text("secret")
    (tmp_path / "evil.obj").write_text(f"mtllib {reference}\n")
    assert found(tmp_path / "evil.obj") == {}


@pytest.mark.parametrize("content", ["", "not json", "[]", '{"buffers": 3}', '{"buffers": [3]}', "[" * 100_000])
def test_a_broken_gltf_is_left_for_the_server_to_judge(tmp_path: Path, content: str) -> None:
    (tmp_path / "a.gltf").write_text(content)
    assert found(tmp_path / "a.gltf") == {}


def test_other_formats_stand_alone(tmp_path: Path) -> None:
    (tmp_path / "a.glb").write_bytes(b"glTF")
    assert found(tmp_path / "a.glb") == {}


def test_an_fbx_brings_its_textures_wherever_the_author_had_them(tmp_path: Path) -> None:
    for name in ("wood.png", "secret.txt"):
        (tmp_path / name).touch()
    textures = [
        node("Texture", np.int64(1), children=[node("RelativeFilename", "..\\maps\\wood.png")]),
        node("Video", np.int64(2), children=[node("Filename", "C:\\art\\missing.png")]),
        node("Video", np.int64(3), children=[node("Filename", "secret.txt")]),
    ]
    (tmp_path / "chair.fbx").write_bytes(write_file([node("Objects", children=textures)]))
    assert found(tmp_path / "chair.fbx") == {"wood.png": "wood.png"}
    (tmp_path / "broken.fbx").write_bytes(b"Kaydara FBX Binary  \x00\x1a\x00")
    assert found(tmp_path / "broken.fbx") == {}
