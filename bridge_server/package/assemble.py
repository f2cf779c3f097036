"""Writing a package: a folder and a zip beside it, both complete or not there at all."""

import errno
import shutil
import tempfile
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path

from bridge_server.errors import DiskFull, ForgeError, InputError, PlanError
from bridge_server.package.manifest import build_manifest, file_entry
from bridge_server.package.record import PackageRecord
from bridge_server.package.report import render_report
from bridge_server.values.asset import Asset
from bridge_server.values.manifest import MANIFEST_NAME, Manifest
from bridge_server.values.package import ExportedFiles, FileRole, PackageFile, Pictures

FOLDER_SUFFIXES = {"ue5": "UE5", "unity_hdrp": "Unity", "godot": "Godot", "blender": "Blender", "web": "Web"}
DEFLATED = (".html", ".json", ".obj", ".mtl")
"""The others are compressed already."""
ZIP_EPOCH = (1980, 1, 1, 0, 0, 0)
UNIX = 3


@dataclass(frozen=True, slots=True, kw_only=True)
class WrittenPackage:
    """Where a package lies."""

    folder: Path
    zip: Path
    manifest: Manifest


def package_name(files: ExportedFiles) -> str:
    """Name of the folder and, with ``.zip``, of the archive, e.g. ``export_CoffeeCup_UE5``."""
    return f"export_{files.asset_name}_{FOLDER_SUFFIXES[files.target]}"


def write_package(asset: Asset, record: PackageRecord, folder: Path) -> WrittenPackage:
    """Write ``folder``/export_<Asset>_UE5/ and the zip of the same files.

    Everything is written beside its place first and then renamed, so an older package of that name stays whole
    until the new one is complete. Raises ``DiskFull``, or ``InputError`` where the folder cannot be written to.
    """
    if asset.files is None or asset.pictures is None:
        raise PlanError("the package needs exported files and pictures.", subject="package")
    files, manifest = _contents(asset, record, asset.files, asset.pictures)
    contents = [(file.path, file.data) for file in files] + [(MANIFEST_NAME, manifest.to_json().encode())]
    name = package_name(asset.files)
    write_contents(name, contents, folder)
    return WrittenPackage(folder=folder / name, zip=folder / f"{name}.zip", manifest=manifest)


def write_contents(name: str, contents: list[tuple[str, bytes]], folder: Path) -> None:
    """Write ``folder``/name/ and ``folder``/name.zip, both complete or not there at all.

    Raises ``DiskFull``, or ``InputError`` where the folder cannot be written to.
    """
    with _translated(folder):
        folder.mkdir(parents=True, exist_ok=True)
        partial = Path(tempfile.mkdtemp(prefix=f".{name}.", suffix=".partial", dir=folder))
        try:
            _write_folder(partial / name, contents)
            _write_zip(partial / f"{name}.zip", contents)
            _swap(((partial / name, folder / name), (partial / f"{name}.zip", folder / f"{name}.zip")))
        finally:
            shutil.rmtree(partial, ignore_errors=True)


def _contents(
    asset: Asset, record: PackageRecord, exported: ExportedFiles, pictures: Pictures
) -> tuple[tuple[PackageFile, ...], Manifest]:
    files = (
        *exported.files,
        PackageFile(path="preview.png", role=FileRole.PREVIEW, data=pictures.preview_png),
        PackageFile(path="turntable.webp", role=FileRole.TURNTABLE, data=pictures.turntable_webp),
    )
    manifest = build_manifest(asset, record, files)
    textures = tuple(file for file in files if file.color_space is not None)
    page = render_report(manifest, pictures, textures)
    report = PackageFile(path="report.html", role=FileRole.REPORT, data=page.encode())
    return (*files, report), replace(manifest, files=(*manifest.files, file_entry(report)))


def _write_folder(folder: Path, contents: list[tuple[str, bytes]]) -> None:
    folder.mkdir()
    for name, data in contents:
        (folder / name).write_bytes(data)


def _write_zip(path: Path, contents: list[tuple[str, bytes]]) -> None:
    """The same bytes for the same contents: no time, no order, no system of this machine gets in."""
    with zipfile.ZipFile(path, "w") as target:
        for name, data in sorted(contents):
            entry = zipfile.ZipInfo(name, ZIP_EPOCH)
            entry.create_system = UNIX
            entry.external_attr = 0o100644 << 16
            entry.compress_type = zipfile.ZIP_DEFLATED if name.endswith(DEFLATED) else zipfile.ZIP_STORED
            target.writestr(entry, data)


def _swap(moves: tuple[tuple[Path, Path], ...]) -> None:
    """Put each new thing in its place, and everything back as it was where one cannot be put."""
    done: list[tuple[Path, Path]] = []
    try:
        for new, place in moves:
            for source, target in ((place, new.with_name(f"{new.name}.old")), (new, place)):
                if source.exists():
                    source.replace(target)
                    done.append((source, target))
    except OSError:
        for source, target in reversed(done):
            target.replace(source)
        raise


@contextmanager
def _translated(folder: Path) -> Iterator[None]:
    """Turn what the file system says into what the user can mend."""
    try:
        yield
    except ForgeError:
        raise
    except OSError as error:
        if error.errno in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG):
            raise DiskFull(
                "no space is left to write the package.",
                subject=str(folder),
                remedy="Free some space, or choose another folder with --out.",
            ) from error
        raise InputError(
            f"cannot write the package here ({error.strerror or error}).",
            subject=str(folder),
            remedy="Choose a folder that you may write to with --out.",
        ) from error
