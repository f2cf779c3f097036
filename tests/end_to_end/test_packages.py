"""Packages of every kind of input and for every target, as independent readers see them."""

import hashlib
import html.parser
import io
import re
import zipfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from bridge_server.package.check import check_package
from bridge_server.values.checklist import Verdict
from bridge_server.values.manifest import MANIFEST_NAME
from tests.end_to_end import model_files
from tests.end_to_end.conftest import Package
from tests.end_to_end.input_files import BLUE, RED, YELLOW
from tests.end_to_end.model_files import Part
from tests.end_to_end.packages import ORDERS
from tests.end_to_end.workplace import SMALL
from tests.referees import node

QUICK = {"stl"}
EVERY = pytest.mark.parametrize(
    "name", [name if name in QUICK else pytest.param(name, marks=pytest.mark.slow) for name in ORDERS]
)
FILES = {
    "ue5": ".fbx .glb _LOD1.glb _BC.png _N.png _N_GL.png _ORM.png",
    "unity_hdrp": ".fbx _Collision.fbx .glb _BC.png _N_GL.png _MASK.png",
    "godot": ".glb _LOD1.glb _BC.png _N_GL.png _ORM.png",
    "blender": ".fbx .glb .mtl .obj _BC.png _N_GL.png _ORM.png",
    "web": ".glb",
}


@EVERY
def test_the_package_is_named_and_filled_for_its_target(package: Package, name: str) -> None:
    forged, order = package(name), ORDERS[name]
    suffix = {"ue5": "UE5", "unity_hdrp": "Unity", "godot": "Godot", "blender": "Blender", "web": "Web"}[order.target]
    assert forged.folder.name == f"export_{order.name}_{suffix}"
    assert forged.zip.name == f"{forged.folder.name}.zip"
    wanted = {
        f"{'T' if ending.endswith('.png') else 'SM'}_{order.name}{ending}" for ending in FILES[order.target].split()
    }
    if "_LOD1.glb" in FILES[order.target]:
        wanted |= {f"SM_{order.name}_LOD{level}.glb" for level in range(1, order.lods)}
    wanted |= {MANIFEST_NAME, "report.html", "preview.png", "turntable.webp"}
    assert {path.name for path in forged.folder.iterdir()} == wanted


@EVERY
def test_every_glb_is_valid(package: Package, name: str) -> None:
    for path in sorted(package(name).folder.glob("*.glb")):
        node.assert_valid_glb(path.read_bytes())


@EVERY
def test_check_passes_on_folder_and_zip(package: Package, name: str) -> None:
    forged = package(name)
    for path in (forged.folder, forged.zip):
        checked = check_package(path)
        assert checked.verdict is Verdict.PASS, [check for check in checked.checks if check.verdict is not Verdict.PASS]


@EVERY
def test_the_zip_holds_what_the_manifest_lists(package: Package, name: str) -> None:
    forged = package(name)
    listed = {entry.path: entry.sha256 for entry in forged.manifest.files}
    with zipfile.ZipFile(forged.zip) as archive:
        found = {entry: hashlib.sha256(archive.read(entry)).hexdigest() for entry in archive.namelist()}
    assert found.pop(MANIFEST_NAME) == hashlib.sha256((forged.folder / MANIFEST_NAME).read_bytes()).hexdigest()
    assert found == listed
    assert {path.name for path in forged.folder.iterdir()} == {*listed, MANIFEST_NAME}


@EVERY
def test_meshes_are_as_listed(package: Package, name: str) -> None:
    forged = package(name)
    manifest = forged.manifest
    parts = model_files.glb_parts((forged.folder / manifest.lods[0].path).read_bytes())
    base = parts.pop(manifest.asset.mesh_name)
    assert len(base.faces) == manifest.lods[0].triangles
    assert {piece: len(part.faces) for piece, part in parts.items()} == {
        piece.name: piece.triangles for piece in manifest.collision.pieces
    }
    _assert_bounds_of_manifest(base, forged.manifest.placement.bounds_cm)
    assert (base.uv_bounds >= 0).all()
    assert (base.uv_bounds <= 1).all()
    for lod in manifest.lods[1:]:
        (part,) = model_files.glb_parts((forged.folder / lod.path).read_bytes()).values()
        assert len(part.faces) == lod.triangles < manifest.lods[lod.index - 1].triangles
    assert manifest.lods[0].triangles == pytest.approx(_wanted_triangles(name), rel=0.01)


def _wanted_triangles(name: str) -> int:
    return int(str({**SMALL, **ORDERS[name].settings}["decimate.triangle_count"]))


def _assert_bounds_of_manifest(part: Part, bounds) -> None:
    listed = np.array([bounds.min, bounds.max])[:, [0, 2, 1]] / 100.0
    np.testing.assert_allclose(part.bounds_m, listed, atol=1e-4 * np.ptp(listed))


READERS = {"autodesk": model_files.fbx_parts_by_autodesk, "assimp": model_files.fbx_parts_by_assimp}


@pytest.mark.parametrize("reader", READERS)
@EVERY
def test_fbx_readers_see_the_same_meshes_as_in_the_glb(package: Package, name: str, reader: str) -> None:
    forged = package(name)
    files = sorted(forged.folder.glob("*.fbx"))
    assert bool(files) == (ORDERS[name].target in ("ue5", "unity_hdrp", "blender"))
    if not files:
        return
    read = {key: part for path in files for key, part in READERS[reader](path.read_bytes()).items()}
    mesh_name = forged.manifest.asset.mesh_name
    wanted = model_files.glb_parts((forged.folder / f"{mesh_name}.glb").read_bytes())
    if ORDERS[name].target == "unity_hdrp":
        assert [f"{mesh_name}_LOD{level}" in read for level in range(ORDERS[name].lods)] == [True] * ORDERS[name].lods
        read = {
            key.removesuffix("_LOD0"): part for key, part in read.items() if not re.search(r"_LOD[1-9]", key)
        }  # a GLB has level 0 alone
    assert set(read) == set(wanted)
    for key, part in wanted.items():
        assert len(read[key].faces) == len(part.faces), key
        size = float(np.ptp(part.bounds_m))
        np.testing.assert_allclose(read[key].bounds_m, part.bounds_m, atol=1e-4 * size, err_msg=key)
    np.testing.assert_allclose(read[mesh_name].uv_bounds, wanted[mesh_name].uv_bounds, atol=1e-4)


@EVERY
def test_it_stands_on_its_pivot_as_high_as_asked(package: Package, name: str) -> None:
    forged, order = package(name), ORDERS[name]
    asked = order.generator == "embedded" or order.preset.startswith("character")
    assert forged.manifest.placement.height_cm == pytest.approx(order.height_cm, rel=1e-4 if asked else 0.01)
    mesh_name = forged.manifest.asset.mesh_name
    low, high = model_files.glb_parts((forged.folder / f"{mesh_name}.glb").read_bytes())[mesh_name].bounds_m
    size = high - low
    assert size[1] * 100 == pytest.approx(forged.manifest.placement.height_cm, rel=1e-4)
    assert low[1] == pytest.approx(0.0, abs=1e-4 * size[1])
    np.testing.assert_allclose((low + high)[[0, 2]] / 2, 0.0, atol=1e-4 * size.max())


class _Links(html.parser.HTMLParser):
    """Everything in a page that a browser would load or go to."""

    def __init__(self) -> None:
        super().__init__()
        self.found: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        for key, value in attrs:
            if key in ("src", "href", "xlink:href", "data", "poster", "srcset", "action", "background", "content"):
                self.found.append(value or "")
            if key == "style":
                self.found += re.findall(r"url\(([^)]*)\)", value or "")

    def handle_data(self, data: str) -> None:
        if self.cdata_elem == "style":
            self.found += re.findall(r"url\(([^)]*)\)|@import\s+(\S+)", data)


@EVERY
def test_the_report_needs_nothing_else(package: Package, name: str) -> None:
    forged = package(name)
    text = (forged.folder / "report.html").read_text(encoding="utf-8")
    links = _Links()
    links.feed(text)
    loaded = [link for link in links.found if re.match(r"\s*['\"]?([a-z+]+:|//|\.|/)", link)]
    assert loaded, "it shows pictures"
    assert [link[:80] for link in loaded if not link.startswith("data:image/")] == []
    assert ORDERS[name].name in text
    for stage in forged.job.stages:
        assert stage.stage in text
    for check in forged.manifest.checklist:
        assert check.title in text


@EVERY
def test_pictures_show_something(package: Package, name: str) -> None:
    folder = package(name).folder
    preview = Image.open(folder / "preview.png")
    assert preview.size == (256, 256)
    _assert_not_blank(preview)
    turntable = Image.open(folder / "turntable.webp")
    assert turntable.size == (96, 96)
    assert turntable.n_frames == 4
    for frame in range(turntable.n_frames):
        turntable.seek(frame)
        _assert_not_blank(turntable)


def _assert_not_blank(picture: Image.Image) -> None:
    """The middle holds a subject that differs from the backdrop at the upper edge."""
    pixels = np.asarray(picture.convert("RGB")).astype(int)
    edge = len(pixels)
    backdrop = pixels[: edge // 16].reshape(-1, 3).mean(axis=0)
    differs = np.abs(pixels - backdrop).max(axis=2) > 12
    assert differs[edge // 4 : -edge // 4, edge // 4 : -edge // 4].mean() > 0.15
    assert pixels.std() > 5


@EVERY
def test_the_manifest_says_what_it_was_made_of(package: Package, name: str, inputs: Path) -> None:
    forged, order = package(name), ORDERS[name]
    told = forged.manifest.provenance
    assert tuple(entry.name for entry in told.inputs) == order.inputs
    folders = [
        inputs,
        *{path.parent for path in order.views.values()},
        *((order.file(inputs).parent,) if order.file else ()),
    ]
    for entry in told.inputs:
        (digest,) = {
            hashlib.sha256((folder / entry.name).read_bytes()).hexdigest()
            for folder in folders
            if (folder / entry.name).exists()
        }
        assert entry.sha256 == digest
    sides = [entry.view for entry in told.inputs]
    assert sides == ([""] * len(sides) if order.generator == "mesh" else [*order.views] or ["front"])
    assert told.generator == order.generator
    assert told.preset == order.preset
    assert told.job_id == forged.job.name.removeprefix("jobs/")
    kinds = {"mesh_filter", "raycaster", "unwrapper", "decomposer"} | (
        set() if order.generator == "mesh" else {"matting", "generator"}
    )
    assert kinds <= set(told.backends)
    assert all(told.backends.values())
    if name == "photo with alpha":
        assert told.backends["matting"] == "own_alpha", "no weights are needed for it"
    assert [stage.name for stage in told.stages] == [stage.stage for stage in forged.job.stages]
    assert 0.5 < sum(stage.seconds for stage in told.stages) < 200
    assert "numpy" in told.versions


@pytest.mark.slow
def test_a_character_is_forged_without_its_rig_and_says_so(package: Package) -> None:
    forged = package("glb")
    (told,) = [check for check in forged.manifest.checklist if check.rule == "rig"]
    assert (told.verdict, told.limit) == ("warn", "biped")
    assert "without a rig" in told.figure
    assert told.figure in (forged.folder / "report.html").read_text(encoding="utf-8")
    assert [item.figure for item in forged.job.checklist.items if item.rule == "rig"] == [told.figure]
    assert forged.manifest.asset.mesh_name == "SM_Fox"


def _is(color: tuple[int, int, int]) -> Callable[[np.ndarray], np.ndarray]:
    return lambda found: np.abs(found - color).max(axis=1) <= 8


@pytest.mark.slow
def test_the_texture_of_an_obj_is_baked_in_its_place(package: Package) -> None:
    places, colors = model_files.base_colors((package("obj").folder / "SM_Globe.glb").read_bytes(), "SM_Globe")
    above, below = places[:, 1] > 0.55, places[:, 1] < 0.45
    assert _is(BLUE)(colors[above]).mean() > 0.95
    assert _is(YELLOW)(colors[below]).mean() > 0.95


@pytest.mark.slow
def test_vertex_colours_of_a_ply_are_baked(package: Package) -> None:
    _, colors = model_files.base_colors((package("ply").folder / "SM_Ring.glb").read_bytes(), "SM_Ring")
    assert _is(RED)(colors).mean() > 0.99


@pytest.mark.slow
def test_the_fox_is_orange_and_white(package: Package) -> None:
    folder = package("glb").folder
    _, colors = model_files.base_colors((folder / "SM_Fox.glb").read_bytes(), "SM_Fox")
    orange = (colors[:, 0] > 150) & (colors[:, 0] - colors[:, 2] > 80)
    white = colors.min(axis=1) > 180
    assert orange.mean() > 0.2
    assert white.mean() > 0.05
    loose = Image.open(folder / "T_Fox_BC.png")
    embedded = Image.open(io.BytesIO(_image_of(folder / "SM_Fox.glb")))
    assert np.array_equal(np.asarray(loose), np.asarray(embedded))


def _image_of(path: Path) -> bytes:
    """The base colour as it is embedded: the first PNG of the file."""
    data = path.read_bytes()
    start = data.index(b"\x89PNG")
    return data[start : data.index(b"IEND", start) + 8]
