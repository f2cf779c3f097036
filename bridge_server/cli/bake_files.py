"""Files of ``forge bake``: meshes in, maps and ``bake.json`` out."""

import contextlib
import errno
import shutil
import tempfile
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from bridge_server.cli.companion_files import find_companions
from bridge_server.errors import DiskFull, InputError
from bridge_server.stages.load_mesh_formats import read_mesh_source
from bridge_server.values.source import MeshSource

if TYPE_CHECKING:
    from bridge_server.stages.bake_maps import BakeMaps


@dataclass(frozen=True, slots=True, kw_only=True)
class BakeOrder:
    """What is asked for, of this machine or of a server."""

    high: Path
    low: Path
    asset: str
    wish: "BakeMaps"
    unwrap: bool
    backends: Mapping[str, str]
    """Names by kind; ``auto`` leaves the choice to who bakes."""


def mesh_source(path: Path) -> MeshSource:
    """A mesh file with what it refers to. Raises ``InputError`` where it cannot be read or is no mesh."""
    if not path.is_file():
        raise InputError("there is no such file.", subject=str(path), remedy="Check the path.")
    try:
        companions = {name: file.read_bytes() for name, file in find_companions(path).items()}
        return read_mesh_source(path.name, path.read_bytes(), tuple(companions.items()))
    except OSError as error:
        raise InputError(
            f"cannot be read ({error.strerror}).", subject=str(path), remedy="Check its rights."
        ) from error


def refuse_unwritable(folder: Path) -> None:
    """Make the folder, so that a wrong path is told before the work."""
    with _translated(folder):
        folder.mkdir(parents=True, exist_ok=True)
        tempfile.TemporaryFile(dir=folder).close()


def write_files(contents: list[tuple[str, bytes]], folder: Path) -> None:
    """Write all files beside their place, then move them there, in their order."""
    with _translated(folder):
        partial = Path(tempfile.mkdtemp(prefix=".bake.", dir=folder))
        try:
            for name, data in contents:
                (partial / name).write_bytes(data)
            for name, _ in contents:
                (partial / name).replace(folder / name)
        finally:
            shutil.rmtree(partial, ignore_errors=True)


def unpack(package: Path, folder: Path) -> None:
    """Move the files of a set that a server made into the folder, ``bake.json`` last."""
    with _translated(folder):
        for path in sorted(package.iterdir(), key=lambda path: (path.suffix == ".json", path.name)):
            path.replace(folder / path.name)


@contextlib.contextmanager
def _translated(folder: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        if error.errno == errno.ENOSPC:
            raise DiskFull("no space is left.", subject=str(folder), remedy="Make room and run it again.") from error
        raise InputError(
            f"cannot be written to ({error.strerror}).", subject=str(folder), remedy="Choose another folder with --out."
        ) from error
