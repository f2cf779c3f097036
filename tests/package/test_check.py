"""The check finds whatever was changed after the package was written, and names it."""

import json
import shutil
import zipfile
from pathlib import Path

import pytest

from bridge_server.errors import InputError
from bridge_server.package.assemble import write_package
from bridge_server.package.check import check_package
from bridge_server.package.contents import is_safe
from bridge_server.stages.png_writer import encode_png
from bridge_server.values.checklist import Verdict
from bridge_server.values.manifest import MANIFEST_NAME
from tests import unwrapped_shapes
from tests.package.forged import forged_asset, forged_record


@pytest.fixture(scope="module")
def original(tmp_path_factory) -> Path:
    return write_package(forged_asset(), forged_record(), tmp_path_factory.mktemp("package")).folder


@pytest.fixture
def package(original, tmp_path) -> Path:
    return Path(shutil.copytree(original, tmp_path / original.name))


def _failed(path: Path) -> dict[str, str]:
    return {check.rule: check.figure for check in check_package(path).checks if check.verdict is not Verdict.PASS}


def _edit(package: Path, change) -> None:
    path = package / MANIFEST_NAME
    document = json.loads(path.read_text())
    change(document)
    path.write_text(json.dumps(document))


def test_a_missing_file_is_named(package):
    (package / "SM_GoldenCrate.fbx").unlink()
    assert _failed(package) == {"files": "SM_GoldenCrate.fbx is missing"}


def test_an_extra_file_is_named(package):
    (package / "notes.txt").write_text("hello")
    assert _failed(package) == {"files": "notes.txt is not listed"}


def test_one_changed_byte_is_found(package):
    path = package / "turntable.webp"
    data = bytearray(path.read_bytes())
    data[-1] ^= 1
    path.write_bytes(data)
    assert _failed(package) == {"digests": "turntable.webp has other contents"}


def test_a_truncated_glb_is_found(package):
    path = package / "SM_GoldenCrate_LOD1.glb"
    path.write_bytes(path.read_bytes()[:-5])
    failed = _failed(package)
    assert "SM_GoldenCrate_LOD1.glb" in failed["meshes"]
    assert "SM_GoldenCrate_LOD1.glb" in failed["digests"]
    assert set(failed) == {"meshes", "digests", "lods"}


@pytest.mark.parametrize(
    ("change", "rule"),
    [
        (lambda d: d["lods"][1].update(triangles=7), "lods"),
        (lambda d: d["lods"][2].update(screen_size=0.9), "lods"),
        (lambda d: d["lods"].pop(0), "lods"),
        (lambda d: d["collision"]["pieces"].pop(), "collision"),
        (lambda d: d["collision"]["pieces"][0].update(name="UCX_SM_Other_00"), "collision"),
        (lambda d: d["collision"]["pieces"][0].update(triangles=4), "collision"),
        (lambda d: d["placement"].update(height_cm=60.0), "bounds"),
        (lambda d: d["placement"]["bounds_cm"].update(min=[-50.0, -40.0, 0.1]), "bounds"),
        (lambda d: d["asset"].update(mesh_name="SM_Other"), "bounds"),
        (lambda d: d["textures"][0].update(size_px=32), "textures"),
        (lambda d: d["textures"][0].update(bit_depth=16), "textures"),
        (lambda d: d["textures"][0].update(color_space="linear"), "textures"),
        (lambda d: d["textures"][2].update(color_space="sRGB"), "textures"),
        (lambda d: d["textures"][0].update(role="orm"), "textures"),
        (lambda d: d["material"]["textures"].update(BaseColor="T_Gone"), "material"),
        (lambda d: d["files"][0].update(path="../SM_GoldenCrate.glb"), "paths"),
        (lambda d: d["files"][0].update(path="/etc/passwd"), "paths"),
        (lambda d: d["textures"][0].update(path="C:\\windows\\a.png"), "paths"),
        (lambda d: d["files"].append(d["files"][0]), "files"),
    ],
)
def test_a_manifest_that_tells_something_else_is_caught(package, change, rule):
    _edit(package, change)
    assert rule in _failed(package)


def test_a_data_map_marked_as_srgb_is_caught(package):
    path = package / "T_GoldenCrate_ORM.png"
    path.write_bytes(encode_png(unwrapped_shapes.packed_map(16).pixels, srgb=True))
    assert "marked sRGB" in _failed(package)["textures"]


def test_a_text_file_called_png_is_caught(package):
    (package / "T_GoldenCrate_BC.png").write_text("this is no picture" * 10)
    assert "is not a PNG" in _failed(package)["textures"]


def _zip(path: Path, package: Path, extra: dict[str, bytes]) -> Path:
    with zipfile.ZipFile(path, "w") as archive:
        for file in package.iterdir():
            archive.write(file, file.name)
        for name, data in extra.items():
            archive.writestr(name, data)
    return path


@pytest.mark.parametrize("name", ["../evil.txt", "/abs.txt", "a/../../b", "C:/x.txt", "back\\slash.txt"])
def test_a_zip_entry_that_leads_outside_is_caught_and_not_read(package, tmp_path, name):
    failed = _failed(_zip(tmp_path / "a.zip", package, {name: b"x"}))
    assert set(failed) == {"paths"}
    assert "leads outside" in failed["paths"]


@pytest.mark.filterwarnings("ignore:Duplicate name")
def test_an_entry_that_comes_twice_is_caught(package, tmp_path):
    assert "paths" in _failed(_zip(tmp_path / "a.zip", package, {"preview.png": b"x"}))


def test_a_link_that_leads_outside_is_caught(package, tmp_path):
    secret = tmp_path / "secret.txt"
    secret.write_text("secret")
    try:
        (package / "link.txt").symlink_to(secret)
    except OSError:
        pytest.skip("this system makes no links")
    assert "link.txt" in _failed(package)["paths"]


def test_what_is_no_package_is_refused_clearly(tmp_path):
    text = tmp_path / "text.zip"
    text.write_text("not a zip")
    empty_zip = tmp_path / "empty.zip"
    zipfile.ZipFile(empty_zip, "w").close()
    folder = tmp_path / "folder"
    folder.mkdir()
    for path, told in (
        (tmp_path / "gone", "nothing of that name"),
        (text, "no readable zip"),
        (empty_zip, "no package"),
        (folder, "no package"),
    ):
        with pytest.raises(InputError, match=told) as caught:
            check_package(path)
        assert str(path) in str(caught.value)
    (folder / MANIFEST_NAME).write_text("{}")
    with pytest.raises(InputError, match="schema is missing"):
        check_package(folder)


def test_a_truncated_zip_is_refused(package, tmp_path):
    path = _zip(tmp_path / "a.zip", package, {})
    path.write_bytes(path.read_bytes()[:-40])
    with pytest.raises(InputError, match="zip"):
        check_package(path)


@pytest.mark.parametrize(
    ("name", "safe"),
    [("a.png", True), ("a/b.png", True), ("", False), (".", False), ("a//b", False), ("./a", False), ("a\x00b", False)],
)
def test_safe_paths(name, safe):
    assert is_safe(name) is safe
