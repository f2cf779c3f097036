"""Reading a package back, from its folder or its zip, without trusting it."""

import zipfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path, PurePosixPath, PureWindowsPath

from bridge_server.errors import InputError
from bridge_server.values.manifest import MANIFEST_NAME

REMEDY = "Give the folder export_<Asset>_UE5 or its zip."
LARGEST_FILE_BYTES = 2 << 30


@dataclass(frozen=True, slots=True, kw_only=True)
class PackageContents:
    """Every file of a package by its path, and what was wrong with the container."""

    files: Mapping[str, bytes]
    unsafe_paths: tuple[str, ...]
    """Entries that would be written outside the package; their contents were not read."""


def read_package(path: Path) -> PackageContents:
    """All files of a package. Raises ``InputError`` where ``path`` is no package or cannot be read."""
    try:
        if not path.exists():
            raise InputError("there is nothing of that name.", subject=str(path), remedy=REMEDY)
        contents = _read_folder(path) if path.is_dir() else _read_zip(path)
    except OSError as error:
        raise InputError(f"cannot be read ({error.strerror or error}).", subject=str(path), remedy=REMEDY) from error
    if MANIFEST_NAME not in contents.files:
        raise InputError(f"is no package: it holds no {MANIFEST_NAME}.", subject=str(path), remedy=REMEDY)
    return contents


def is_safe(name: str) -> bool:
    """True for a relative path that stays inside, on every system."""
    parts = PurePosixPath(name).parts
    return bool(parts) and not (
        "\\" in name
        or "\x00" in name
        or ".." in parts
        or PurePosixPath(name).is_absolute()
        or PureWindowsPath(name).drive
        or name != "/".join(parts)
    )


def _read_folder(folder: Path) -> PackageContents:
    files, unsafe = {}, []
    root = folder.resolve()
    for path in sorted(folder.rglob("*")):
        name = path.relative_to(folder).as_posix()
        if not path.resolve().is_relative_to(root):
            unsafe.append(name)
        elif path.is_file():
            files[name] = path.read_bytes()
    return PackageContents(files=files, unsafe_paths=tuple(unsafe))


def _read_zip(path: Path) -> PackageContents:
    files: dict[str, bytes] = {}
    unsafe: list[str] = []
    try:
        with zipfile.ZipFile(path) as archive:
            for entry in archive.infolist():
                if not is_safe(entry.orig_filename) or entry.filename in files:
                    unsafe.append(entry.orig_filename)
                    continue
                if entry.file_size > LARGEST_FILE_BYTES:
                    raise InputError(f"{entry.filename} is larger than 2 GB.", subject=str(path), remedy=REMEDY)
                files[entry.filename] = archive.read(entry)
    except (zipfile.BadZipFile, RuntimeError, NotImplementedError, EOFError, ValueError) as error:
        raise InputError(f"is no readable zip ({error}).", subject=str(path), remedy=REMEDY) from error
    return PackageContents(files=files, unsafe_paths=tuple(unsafe))
