"""The manifest's JSON is strict: it comes back equal, and every flaw is named by its place."""

import dataclasses
import json

import pytest

from bridge_server.errors import InputError
from bridge_server.values.manifest import (
    AssetEntry,
    BoundsEntry,
    CheckEntry,
    CollisionEntry,
    FallbackEntry,
    FileEntry,
    InputEntry,
    LightMapEntry,
    LodEntry,
    Manifest,
    MaterialEntry,
    PieceEntry,
    PlacementEntry,
    Provenance,
    StageEntry,
    TextureEntry,
)
from bridge_server.values.typed_json import JsonText

MANIFEST = Manifest(
    asset=AssetEntry(name="Cup", type="static_mesh", mesh_name="SM_Cup", material_name="MI_Cup"),
    created="2026-01-02T03:04:05Z",
    files=(FileEntry(path="SM_Cup.glb", role="mesh", sha256="ab" * 32, size_bytes=12),),
    placement=PlacementEntry(
        pivot="bottom_center",
        scale=2.0,
        translation_m=(0.0, 0.5, 0.0),
        height_cm=10.0,
        bounds_cm=BoundsEntry(min=(-1.0, -2.0, 0.0), max=(1.0, 2.0, 10.0)),
    ),
    lods=(LodEntry(index=0, path="SM_Cup.glb", triangles=12, vertices=24, screen_size=1.0),),
    collision=CollisionEntry(
        method="hull",
        containment=1.0,
        excess_volume=None,
        pieces=(PieceEntry(name="UCX_SM_Cup_00", shape="convex", vertices=8, triangles=12),),
    ),
    textures=(
        TextureEntry(
            name="T_Cup_BC",
            path="T_Cup_BC.png",
            role="base_color",
            color_space="sRGB",
            compression="TC_DEFAULT",
            lod_group="TEXTUREGROUP_WORLD",
            size_px=16,
            bit_depth=8,
            flip_green=False,
        ),
    ),
    material=MaterialEntry(
        name="MI_Cup", parent="M_Open3DForge", textures={"BaseColor": "T_Cup_BC"}, scalars={"a": 1.0}, vectors={}
    ),
    nanite=True,
    checklist=(CheckEntry(rule="uv", title="UVs", verdict="pass", figure="0", limit="", remedy=""),),
    provenance=Provenance(
        inputs=(InputEntry(name="größe.png", sha256="cd" * 32, view="front"),),
        preset="prop",
        preset_document=JsonText('{"name": "prop", "stages": [1, 2.5, null]}'),
        generator="embedded",
        backends={"raycaster": "warp 1"},
        fallbacks=(FallbackEntry(stage="collision", code="x", message="y"),),
        versions={"open3dforge": "0.1.0"},
        stages=(StageEntry(name="matte", seconds=0.5, cached=False),),
        job_id="j1",
    ),
)


def test_json_comes_back_equal_and_carries_the_preset_as_an_object():
    text = MANIFEST.to_json()
    assert Manifest.from_json(text) == MANIFEST
    assert Manifest.from_json(text).to_json() == text
    document = json.loads(text)
    assert list(document)[:2] == ["schema", "asset"]
    assert document["schema"] == "open3dforge.asset_manifest.v1"
    assert document["provenance"]["preset_document"]["stages"] == [1, 2.5, None]
    assert document["placement"]["bounds_cm"] == {"min": [-1.0, -2.0, 0.0], "max": [1.0, 2.0, 10.0]}


def test_a_manifest_from_before_light_maps_were_listed_can_be_read():
    document = json.loads(MANIFEST.to_json())
    assert document.pop("light_map") is None
    assert Manifest.from_json(json.dumps(document)) == MANIFEST
    lit = dataclasses.replace(MANIFEST, light_map=LightMapEntry(channel=1, resolution_px=256))
    assert Manifest.from_json(lit.to_json()) == lit
    assert json.loads(lit.to_json())["light_map"] == {"channel": 1, "resolution_px": 256}


def _changed(change) -> str:
    document = json.loads(MANIFEST.to_json())
    change(document)
    return json.dumps(document)


@pytest.mark.parametrize(
    ("change", "told"),
    [
        (lambda d: d.pop("lods"), "lods is missing"),
        (lambda d: d.update(surprise=1), "surprise is unknown"),
        (lambda d: d["lods"][0].update(triangles="12"), r"lods\[0\]\.triangles must be a whole number"),
        (lambda d: d["lods"][0].update(triangles=True), r"lods\[0\]\.triangles must be a whole number"),
        (lambda d: d["placement"].update(scale=None), r"placement\.scale must be a number"),
        (lambda d: d["placement"]["bounds_cm"].update(min=[1, 2]), r"placement\.bounds_cm\.min must be a list of 3"),
        (lambda d: d.update(files={}), "files must be a list"),
        (lambda d: d.update(asset=[]), "asset must be an object"),
        (lambda d: d["provenance"]["backends"].update(a=1), r"provenance\.backends\.a must be a string"),
        (lambda d: d.update(schema="open3dforge.asset_manifest.v9"), "v9"),
        (lambda d: d.update(light_map={"channel": 1}), r"light_map\.resolution_px is missing"),
        (lambda d: d.pop("schema"), "schema is missing"),
    ],
)
def test_each_flaw_is_named(change, told):
    with pytest.raises(InputError, match=told):
        Manifest.from_json(_changed(change))


@pytest.mark.parametrize("text", ["", "{", "[]", "null", "12", b"\xff\xfe\x00", "[" * 100_000, '{"schema": [1]}'])
def test_text_that_is_no_manifest_is_refused(text):
    with pytest.raises(InputError):
        Manifest.from_json(text)


def test_numbers_that_json_lacks_are_refused_on_both_ways():
    with pytest.raises(ValueError, match="JSON"):
        dataclasses.replace(
            MANIFEST, collision=dataclasses.replace(MANIFEST.collision, containment=float("nan"))
        ).to_json()
    with pytest.raises(InputError, match="containment"):
        Manifest.from_json(MANIFEST.to_json().replace('"containment": 1.0', '"containment": NaN'))
