"""Packages are complete or not there, the same every time, and equal in folder and zip."""

import dataclasses
import errno
import hashlib
import os
import stat
import zipfile
from datetime import UTC, datetime
from pathlib import Path

import pytest

from bridge_server.errors import DiskFull, InputError, PlanError
from bridge_server.package.assemble import package_name, write_package
from bridge_server.package.check import check_package
from bridge_server.stages.export_files import ExportTarget
from bridge_server.values.checklist import Verdict
from bridge_server.values.manifest import MANIFEST_NAME, Manifest
from tests.package.forged import forged_asset, forged_record
from tests.referees import node

ASSET = forged_asset()
UE5_FILES = {
    "SM_GoldenCrate.glb",
    "SM_GoldenCrate_LOD1.glb",
    "SM_GoldenCrate_LOD2.glb",
    "SM_GoldenCrate.fbx",
    "T_GoldenCrate_BC.png",
    "T_GoldenCrate_N.png",
    "T_GoldenCrate_N_GL.png",
    "T_GoldenCrate_ORM.png",
    "preview.png",
    "turntable.webp",
    "report.html",
    MANIFEST_NAME,
}


def test_folder_and_zip_hold_the_listed_files_with_equal_digests(tmp_path):
    written = write_package(ASSET, forged_record(), tmp_path / "new" / "out")
    assert written.folder == tmp_path / "new" / "out" / "export_GoldenCrate_UE5"
    assert written.zip == tmp_path / "new" / "out" / "export_GoldenCrate_UE5.zip"
    assert {path.name for path in written.folder.iterdir()} == UE5_FILES
    assert sorted(path.name for path in written.folder.parent.iterdir()) == [written.folder.name, written.zip.name]
    with zipfile.ZipFile(written.zip) as archive:
        assert set(archive.namelist()) == UE5_FILES
        for entry in written.manifest.files:
            for data in (archive.read(entry.path), (written.folder / entry.path).read_bytes()):
                assert hashlib.sha256(data).hexdigest() == entry.sha256
                assert len(data) == entry.size_bytes
        assert archive.read(MANIFEST_NAME) == (written.folder / MANIFEST_NAME).read_bytes()
    assert Manifest.from_json((written.folder / MANIFEST_NAME).read_bytes()) == written.manifest


def test_the_same_run_gives_the_same_bytes_elsewhere(tmp_path):
    first = write_package(ASSET, forged_record(), tmp_path / "a")
    second = write_package(ASSET, forged_record(), tmp_path / "b")
    assert first.zip.read_bytes() == second.zip.read_bytes()
    assert first.manifest == second.manifest


@pytest.mark.parametrize("target", list(ExportTarget))
def test_every_target_passes_its_own_check_and_the_validator(target, tmp_path):
    asset = forged_asset(target)
    written = write_package(asset, forged_record(), tmp_path)
    assert written.folder.name == package_name(asset.files)
    for path in (written.folder, written.zip):
        checklist = check_package(path)
        assert checklist.verdict is Verdict.PASS, [c.figure for c in checklist.checks if c.verdict is not Verdict.PASS]
    for path in written.folder.glob("*.glb"):
        node.assert_valid_glb(path.read_bytes())


def test_sixteen_bit_normals_are_listed_as_such(tmp_path):
    written = write_package(forged_asset(sixteen_bit_normals=True), forged_record(), tmp_path)
    depths = {texture.name: texture.bit_depth for texture in written.manifest.textures}
    assert depths["T_GoldenCrate_N"] == 16
    assert depths["T_GoldenCrate_BC"] == 8
    assert check_package(written.folder).verdict is Verdict.PASS


def test_an_older_package_is_replaced_whole(tmp_path):
    old = write_package(ASSET, forged_record(), tmp_path)
    (old.folder / "left_over.txt").write_text("old")
    record = dataclasses.replace(forged_record(), created=datetime(2027, 1, 1, tzinfo=UTC))
    new = write_package(ASSET, record, tmp_path)
    assert {path.name for path in new.folder.iterdir()} == UE5_FILES
    assert check_package(new.zip).verdict is Verdict.PASS
    assert new.manifest.created.startswith("2027")


def _snapshot(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in sorted(folder.rglob("*")) if path.is_file()}


@pytest.mark.parametrize("after_writes", [0, 3, 11])
def test_a_full_disk_leaves_the_older_package_and_nothing_else(tmp_path, monkeypatch, after_writes):
    write_package(ASSET, forged_record(), tmp_path)
    before = _snapshot(tmp_path)
    write_bytes, written = Path.write_bytes, []

    def fill_up(path: Path, data: bytes) -> int:
        if len(written) >= after_writes:
            write_bytes(path, data[: len(data) // 2])
            raise OSError(errno.ENOSPC, "No space left on device")
        written.append(path)
        return write_bytes(path, data)

    monkeypatch.setattr(Path, "write_bytes", fill_up)
    with pytest.raises(DiskFull, match="Free some space"):
        write_package(ASSET, forged_record(), tmp_path)
    monkeypatch.undo()
    assert _snapshot(tmp_path) == before
    assert len(list(tmp_path.iterdir())) == 2


def test_a_failure_between_folder_and_zip_puts_both_back(tmp_path, monkeypatch):
    write_package(ASSET, forged_record(), tmp_path)
    before = _snapshot(tmp_path)
    replace = Path.replace

    def stubborn(path: Path, target: Path) -> Path:
        if path.suffix == ".zip" and Path(target).parent == tmp_path:
            raise PermissionError(errno.EACCES, "Permission denied")
        return replace(path, target)

    record = dataclasses.replace(forged_record(), created=datetime(2027, 1, 1, tzinfo=UTC))
    monkeypatch.setattr(Path, "replace", stubborn)
    with pytest.raises(InputError, match="Permission denied"):
        write_package(ASSET, record, tmp_path)
    monkeypatch.undo()
    assert _snapshot(tmp_path) == before


def test_a_file_in_the_place_of_the_folder_is_refused(tmp_path):
    place = tmp_path / "out"
    place.write_text("I am a file")
    with pytest.raises(InputError, match="--out") as caught:
        write_package(ASSET, forged_record(), place)
    assert str(place) in str(caught.value)
    assert place.read_text() == "I am a file"


@pytest.mark.skipif(os.name == "nt" or os.geteuid() == 0, reason="the superuser and Windows ignore the mode of folders")
def test_a_read_only_folder_is_refused(tmp_path):
    place = tmp_path / "locked"
    place.mkdir()
    place.chmod(stat.S_IRUSR | stat.S_IXUSR)
    with pytest.raises(InputError, match="cannot write"):
        write_package(ASSET, forged_record(), place)
    assert list(place.iterdir()) == []


def test_an_unwritable_folder_is_refused_whoever_runs_the_test(tmp_path, monkeypatch):
    def refuse(**_: object) -> None:
        raise PermissionError(errno.EACCES, "Permission denied")

    monkeypatch.setattr("bridge_server.package.assemble.tempfile.mkdtemp", refuse)
    with pytest.raises(InputError, match="Permission denied"):
        write_package(ASSET, forged_record(), tmp_path)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("slot", ["files", "pictures", "lods", "placement", "collision"])
def test_an_unfinished_asset_is_refused(slot, tmp_path):
    with pytest.raises(PlanError):
        write_package(dataclasses.replace(ASSET, **{slot: None}), forged_record(), tmp_path)
    assert list(tmp_path.iterdir()) == []
