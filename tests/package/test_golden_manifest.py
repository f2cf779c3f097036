"""The golden manifest: the exporter still writes what the importer was written against.

The importer's tests read the same file; neither side imports the other. Where the format changes on purpose, write the
file anew: ``python -m tests.package.test_golden_manifest``.
"""

import dataclasses
import tempfile
from pathlib import Path

from bridge_server.package.assemble import write_package
from bridge_server.values.manifest import FileEntry, Manifest
from tests.package.forged import forged_asset, forged_record

GOLDEN = Path(__file__).parents[1] / "data" / "golden_manifest.json"


def _written(folder: Path) -> Manifest:
    return write_package(forged_asset(), forged_record(), folder).manifest


def _without_contents(manifest: Manifest) -> Manifest:
    """Digests and sizes depend on the build of zlib and WebP, and on the words of the report."""
    files = tuple(FileEntry(path=f.path, role=f.role, sha256="", size_bytes=0) for f in manifest.files)
    return dataclasses.replace(manifest, files=files)


def test_the_exporter_still_writes_the_golden_manifest(tmp_path):
    golden = Manifest.from_json(GOLDEN.read_bytes())
    assert _without_contents(_written(tmp_path)) == _without_contents(golden), (
        "the manifest changed; if it is meant to, run python -m tests.package.test_golden_manifest, "
        "raise the schema version where an importer could stumble, and adapt unreal_scripts"
    )


def test_the_golden_file_is_written_as_the_exporter_writes():
    text = GOLDEN.read_text(encoding="utf-8")
    assert Manifest.from_json(text).to_json() == text


if __name__ == "__main__":
    with tempfile.TemporaryDirectory() as folder:
        GOLDEN.write_text(_written(Path(folder)).to_json(), encoding="utf-8")
