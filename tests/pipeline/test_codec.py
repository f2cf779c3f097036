import contextlib
import json
import struct

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bridge_server.errors import StoreError
from bridge_server.pipeline.codec import ALIGNMENT, MAGIC, decode, encode
from bridge_server.values.base import Notice, Severity, Value
from bridge_server.values.checklist import Check, Checklist, Verdict
from bridge_server.values.collision import Collision, CollisionPiece, CollisionShape
from bridge_server.values.image import Photo, Photos, View
from bridge_server.values.mesh import LowPoly
from bridge_server.values.package import ExportedFiles, FileRole, PackageFile
from bridge_server.values.source import MeshSource
from bridge_server.values.surface_texture import MaterialTextures, TextureField, TextureImage
from bridge_server.values.texture import AlbedoMap, ColorSpace, TexelHits
from tests.shapes import box, painted, sphere


def blob_of(value: Value) -> bytes:
    return b"".join(encode(value))


def assert_same(left: object, right: object) -> None:
    """Deep equality that knows arrays and NaN."""
    assert type(left) is type(right)
    if isinstance(left, np.ndarray):
        assert isinstance(right, np.ndarray)
        assert left.dtype == right.dtype
        assert left.shape == right.shape
        assert left.tobytes() == right.tobytes()
    elif isinstance(left, tuple):
        assert isinstance(right, tuple)
        assert len(left) == len(right)
        for one, other in zip(left, right, strict=True):
            assert_same(one, other)
    elif hasattr(left, "__dataclass_fields__"):
        for name in left.__dataclass_fields__:
            assert_same(getattr(left, name), getattr(right, name))
    elif isinstance(left, float):
        assert struct.pack("<d", left) == struct.pack("<d", right)
    else:
        assert left == right


NOTICES = (Notice(code="x", message="Ünïcode \u2028 \x00", severity=Severity.INFO), Notice(code="y", message=""))
TEXTURED = TextureField(
    positions_m=box().positions_m,
    faces=box().faces,
    corner_uvs=np.zeros((12, 3, 2), np.float32),
    face_materials=np.zeros(12, np.int32),
    materials=(MaterialTextures(base_color_image=TextureImage(pixels=np.ones((2, 3, 3), np.uint8))),),
)
VALUES = [
    painted(sphere(subdivisions=2)),
    Photos(photos=(Photo(pixels=np.zeros((2, 3, 4), np.uint8), view=View.BACK, name="ä.png", notices=NOTICES),)),
    LowPoly(mesh=box(), target_triangle_count=2**40, hausdorff_m=float("inf"), mean_distance_m=-0.0, method=""),
    Collision(
        pieces=(CollisionPiece(shape=CollisionShape.BOX, mesh=box()),),
        containment=1.0,
        excess_volume=float("nan"),
        method="m",
    ),
    ExportedFiles(
        asset_name="A",
        files=(PackageFile(path="a/b", role=FileRole.ORM, data=b"\x00\xff" * 99, color_space=ColorSpace.LINEAR),),
    ),
    MeshSource(name="a.obj", data=b"", companions=(("a.mtl", b"1"),)),
    AlbedoMap(pixels=np.ones((4, 4, 3), np.uint8), invented=np.eye(4, dtype=bool)),
    Checklist(checks=(Check(rule="r", title="t", verdict=Verdict.WARN, figure="3"),)),
    TEXTURED,
    TexelHits(
        resolution_px=2,
        supersample=1,
        index=np.zeros(0, np.int32),
        low_face=np.zeros(0, np.int32),
        low_weights=np.zeros((0, 2), np.float32),
        high_face=np.zeros(0, np.int32),
        high_weights=np.zeros((0, 2), np.float32),
        by_ray=np.zeros(0, bool),
        coverage=np.zeros((2, 2), bool),
    ),
]


@pytest.mark.parametrize("value", VALUES, ids=lambda value: type(value).__name__)
def test_round_trip_keeps_everything(value: Value) -> None:
    blob = blob_of(value)
    back = decode(memoryview(blob))
    assert_same(value, back)
    assert blob_of(back) == blob


def test_arrays_are_read_only_views_of_the_blob() -> None:
    value = painted(sphere(subdivisions=3))
    blob = bytearray(blob_of(value))
    back = decode(memoryview(blob))
    assert not back.mesh.positions_m.flags.writeable
    assert np.shares_memory(back.mesh.positions_m, np.frombuffer(blob, np.uint8))
    assert back.mesh.positions_m.ctypes.data % 4 == 0


def test_layout_of_memory_does_not_change_the_bytes() -> None:
    pixels = np.arange(48, dtype=np.uint8).reshape(4, 4, 3)
    plain = AlbedoMap(pixels=pixels)
    strided = AlbedoMap(pixels=np.asfortranarray(pixels))
    swapped = box().positions_m.astype(">f4").view()
    assert blob_of(plain) == blob_of(strided)
    mesh = box()
    object.__setattr__(mesh, "positions_m", swapped)
    assert blob_of(mesh) == blob_of(box())


def test_other_types_are_refused_by_name() -> None:
    value = box()
    object.__setattr__(value, "faces", {"a": 1})
    with pytest.raises(StoreError, match="dict cannot be stored"):
        blob_of(value)
    object.__setattr__(value, "faces", np.array([object()]))
    with pytest.raises(StoreError, match="array of object"):
        blob_of(value)


def test_numpy_scalars_become_plain_numbers() -> None:
    value = LowPoly(mesh=box(), target_triangle_count=1, hausdorff_m=0.5, mean_distance_m=0.0, method="")
    plain = blob_of(value)
    object.__setattr__(value, "hausdorff_m", np.float32(0.5))
    object.__setattr__(value, "target_triangle_count", np.int64(1))
    assert blob_of(value) == plain


@given(cut=st.integers(0, 700))
@settings(max_examples=60, deadline=None)
def test_cut_short_blobs_are_refused(cut: int) -> None:
    blob = blob_of(box())
    with pytest.raises(StoreError):
        decode(memoryview(blob[: min(cut, len(blob) - ALIGNMENT)]))


@given(place=st.integers(0, 900), byte=st.integers(0, 255))
@settings(max_examples=200, deadline=None)
def test_damaged_headers_never_raise_anything_else(place: int, byte: int) -> None:
    blob = bytearray(blob_of(box()))
    blob[place % len(blob)] = byte
    with contextlib.suppress(StoreError):
        decode(memoryview(blob))


def forged(tree: object, buffers: list[dict[str, object]] = [], body: bytes = b"") -> memoryview:  # noqa: B006
    header = json.dumps({"schema": "open3dforge.value.v1", "tree": tree, "buffers": buffers}).encode()
    start = 16 + len(header)
    return memoryview(MAGIC + struct.pack("<Q", len(header)) + header + bytes(-start % ALIGNMENT) + body)


@pytest.mark.parametrize(
    "tree",
    [
        {"value": "os:system", "fields": {}},
        {"value": "subprocess:Popen", "fields": {"args": "true"}},
        {"value": "bridge_server.values.mesh:np.load", "fields": {}},
        {"value": "bridge_server.values.mesh:dataclass", "fields": {}},
        {"value": "bridge_server.values.mesh:area_m2", "fields": {"mesh": 1}},
        {"value": "bridge_server.values.lod:UnwrappedMesh", "fields": {}},
        {"value": "bridge_server.values.mesh:Mesh", "fields": {}},
        {"value": "bridge_server.values.none:Mesh", "fields": {}},
        {"enum": "bridge_server.values.image:View", "value": "up"},
        {"array": 0},
        {"tuple": []},
        [],
        7,
        None,
        {},
    ],
)
def test_hostile_trees_are_refused(tree: object) -> None:
    with pytest.raises(StoreError):
        decode(forged(tree))


@pytest.mark.parametrize(
    "buffer",
    [
        {"offset": 0, "size": 8, "dtype": "|O", "shape": [1]},
        {"offset": -8, "size": 8, "dtype": "<f4", "shape": [2]},
        {"offset": 0, "size": 800, "dtype": "<f4", "shape": [200]},
        {"offset": 0, "size": 8, "dtype": "<f4", "shape": [3]},
        {"offset": 0, "size": 8, "dtype": "nonsense", "shape": [3]},
        {"offset": 0, "size": 8, "dtype": "<f4", "shape": [10**30]},
    ],
)
def test_hostile_buffers_are_refused(buffer: dict[str, object]) -> None:
    with pytest.raises(StoreError):
        decode(forged({"array": 0}, [buffer], bytes(64)))
