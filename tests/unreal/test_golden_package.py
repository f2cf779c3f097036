"""The package that the self-test imports: the exporter still writes it, and it is whole.

Where the package changes on purpose, write it anew: ``python -m tests.unreal.test_golden_package``.
"""

import shutil
import tempfile
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from bridge_server.package.assemble import write_package
from bridge_server.package.check import check_package
from bridge_server.values.checklist import Verdict
from bridge_server.values.manifest import FileEntry, Manifest
from tests.package.forged import forged_asset, forged_record
from tests.simulated_editor.files import read_fbx, read_glb
from tests.simulated_editor.process import ROOT

GOLDEN = ROOT / "unreal_scripts" / "golden_package"
REMEDY = "the exporter writes another package now; if that is meant, run python -m tests.unreal.test_golden_package"
LARGEST_BYTES = 300_000


@pytest.fixture(scope="module")
def written(tmp_path_factory) -> Path:
    return write_package(forged_asset(), forged_record(), tmp_path_factory.mktemp("now")).folder


def manifest_of(folder: Path) -> Manifest:
    return Manifest.from_json((folder / "asset_manifest.json").read_bytes())


def without_contents(manifest: Manifest) -> Manifest:
    """Digests and sizes depend on the build of zlib and WebP, and on the words of the report."""
    files = tuple(FileEntry(path=f.path, role=f.role, sha256="", size_bytes=0) for f in manifest.files)
    return replace(manifest, files=files)


def test_its_digests_are_those_of_its_files_and_it_is_small():
    assert check_package(GOLDEN).verdict is not Verdict.FAIL
    assert sum(file.stat().st_size for file in GOLDEN.iterdir()) < LARGEST_BYTES


def test_it_holds_the_files_that_the_exporter_writes(written):
    assert sorted(f.name for f in GOLDEN.iterdir()) == sorted(f.name for f in written.iterdir()), REMEDY
    assert without_contents(manifest_of(GOLDEN)) == without_contents(manifest_of(written)), REMEDY


@pytest.mark.parametrize("pattern", ["*.glb", "*.fbx"])
def test_its_meshes_are_those_that_the_exporter_writes(written, pattern):
    read = read_glb if pattern == "*.glb" else read_fbx
    for file in GOLDEN.glob(pattern):
        for golden, fresh in zip(read(file).parts, read(written / file.name).parts, strict=True):
            assert (golden.name, golden.triangles) == (fresh.name, fresh.triangles), REMEDY
            assert np.allclose(golden.positions, fresh.positions, atol=1e-4), REMEDY


def test_its_textures_are_those_that_the_exporter_writes(written):
    for file in GOLDEN.glob("T_*.png"):
        with Image.open(file) as golden, Image.open(written / file.name) as fresh:
            assert np.array_equal(np.asarray(golden), np.asarray(fresh)), REMEDY


if __name__ == "__main__":
    with tempfile.TemporaryDirectory() as folder:
        package = write_package(forged_asset(), forged_record(), Path(folder)).folder
        shutil.rmtree(GOLDEN, ignore_errors=True)
        shutil.copytree(package, GOLDEN)
