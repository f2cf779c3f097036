"""Weights that consist of whole repositories of the Hugging Face hub: what belongs to them, and where they lie.

``./forge models pull`` puts ``owner/name/file`` below one folder a model and records the digest that the hub named for
each file. Files brought by hand serve as well, here, in a folder of the user's choice, or in the hub's own cache.
"""

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING

from bridge_server.backends.weights import WeightsState, file_sha256, models_folder
from bridge_server.errors import BackendUnavailable, NotFound

if TYPE_CHECKING:
    from collections.abc import Iterable

    from vendor.trellis2.layout import Layout, LayoutError

RECORD = "pulled.json"
RECORD_SCHEMA = "open3dforge.pulled.v1"
SAMPLES = 16
SAMPLE_BYTES = 16_384


@dataclass(frozen=True, slots=True, kw_only=True)
class HubRepository:
    """A part of a model, as one repository of the hub holds it."""

    repository: str
    """``owner/name``."""
    files: tuple[str, ...]
    licence: str
    nominal_bytes: int
    """What the files take together, computed from their tensors; the hub's own figure is shown before a download."""
    gated: bool = False
    """The hub hands it out only to accounts that accepted its licence."""

    @property
    def page(self) -> str:
        """Where a person reads about it and accepts its terms."""
        return f"https://huggingface.co/{self.repository}"


@dataclass(frozen=True, slots=True, kw_only=True)
class HubModel:
    """A model that a backend needs as a whole."""

    name: str
    purpose: str
    parts: tuple[HubRepository, ...]

    @property
    def nominal_bytes(self) -> int:
        """Of all parts."""
        return sum(part.nominal_bytes for part in self.parts)

    @property
    def licence(self) -> str:
        """Of all parts, in a few words."""
        return "; ".join(dict.fromkeys(part.licence for part in self.parts))

    @property
    def folder(self) -> Path:
        """Where ``./forge models pull`` puts it."""
        return models_folder() / self.name

    @property
    def files(self) -> tuple[str, ...]:
        """Every file as ``owner/name/file``."""
        return tuple(f"{part.repository}/{file}" for part in self.parts for file in part.files)


def _both(*stems: str) -> tuple[str, ...]:
    return tuple(f"ckpts/{stem}{ending}" for stem in stems for ending in (".json", ".safetensors"))


TRELLIS2 = HubModel(
    name="trellis2",
    purpose="image to 3D, the generator trellis2 (needs an accelerator with 8 GB or more)",
    parts=(
        HubRepository(
            repository="microsoft/TRELLIS.2-4B",
            files=(
                "pipeline.json",
                *_both(
                    "ss_flow_img_dit_1_3B_64_bf16",
                    "slat_flow_img2shape_dit_1_3B_512_bf16",
                    "slat_flow_img2shape_dit_1_3B_1024_bf16",
                    "slat_flow_imgshape2tex_dit_1_3B_512_bf16",
                    "slat_flow_imgshape2tex_dit_1_3B_1024_bf16",
                    "shape_dec_next_dc_f16c32_fp16",
                    "tex_dec_next_dc_f16c32_fp16",
                ),
            ),
            licence="MIT",
            nominal_bytes=14_819_481_322,
        ),
        HubRepository(
            repository="microsoft/TRELLIS-image-large",
            files=_both("ss_dec_conv3d_16l8_fp16"),
            licence="MIT",
            nominal_bytes=147_585_412,
        ),
        HubRepository(
            repository="facebook/dinov3-vitl16-pretrain-lvd1689m",
            files=("config.json", "model.safetensors"),
            licence="DINOv3 License (Meta; accepted by hand)",
            nominal_bytes=1_212_518_400,
            gated=True,
        ),
    ),
)
HUB_CATALOGUE: Mapping[str, HubModel] = MappingProxyType({TRELLIS2.name: TRELLIS2})


@dataclass(frozen=True, slots=True)
class PulledFile:
    """What the hub said about a file when it was fetched."""

    sha256: str
    size_bytes: int
    revision: str


def read_record(folder: Path) -> dict[str, PulledFile]:
    """What was pulled, by ``owner/name/file``; empty where nothing was."""
    try:
        content = json.loads((folder / RECORD).read_text(encoding="utf-8"))
        if content["schema"] != RECORD_SCHEMA:
            return {}
        return {name: PulledFile(**entry) for name, entry in content["files"].items()}
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        return {}


def write_record(folder: Path, record: Mapping[str, PulledFile]) -> None:
    """Remember digests, written beside and renamed."""
    files = {
        name: {"sha256": entry.sha256, "size_bytes": entry.size_bytes, "revision": entry.revision}
        for name, entry in sorted(record.items())
    }
    temporary = (folder / RECORD).with_suffix(".tmp")
    temporary.write_text(json.dumps({"schema": RECORD_SCHEMA, "files": files}, indent=1), encoding="utf-8")
    temporary.replace(folder / RECORD)


def describe(name: str) -> HubModel:
    """The catalogue entry. Raises ``NotFound``."""
    if name not in HUB_CATALOGUE:
        raise NotFound("no weights of that name.", subject=name, remedy=f"Known: {', '.join(HUB_CATALOGUE)}.")
    return HUB_CATALOGUE[name]


def file_states(model: HubModel, *, recheck: bool = False) -> dict[str, WeightsState]:
    """State of each file below the model's folder: by size alone, or with ``recheck`` by reading it.

    A file without a record, brought by hand, counts as present; there is nothing to compare it with.
    """
    record = read_record(model.folder)
    states = {}
    for name in model.files:
        path, known = model.folder / name, record.get(name)
        if not path.is_file():
            states[name] = WeightsState.MISSING
        elif known is None:
            states[name] = WeightsState.PRESENT
        else:
            right = path.stat().st_size == known.size_bytes and (not recheck or file_sha256(path) == known.sha256)
            states[name] = WeightsState.PRESENT if right else WeightsState.WRONG
    return states


def worst(states: "Iterable[WeightsState]") -> WeightsState:
    """Of several files: one wrong file spoils a model, one missing file makes it incomplete."""
    found = set(states)
    return next(state for state in (WeightsState.WRONG, WeightsState.MISSING, WeightsState.PRESENT) if state in found)


def quick_digest(files: "Iterable[Path]") -> str:
    """A digest of the contents that reads a few blocks of each file: enough to tell weights apart, in milliseconds."""
    state = hashlib.sha256()
    for path in files:
        size = path.stat().st_size
        state.update(f"{path.name} {size}\0".encode())
        with path.open("rb") as stream:
            for rank in range(SAMPLES):
                stream.seek(max(0, size - SAMPLE_BYTES) * rank // (SAMPLES - 1))
                state.update(stream.read(SAMPLE_BYTES))
    return state.hexdigest()[:16]


def trellis2_layout(folder: Path | None) -> "Layout":
    """What ``pipeline.json`` says, from the user's folder (or ``owner/name`` in it), from ours, or the hub's cache.

    Raises ``BackendUnavailable`` with the command that brings the weights, or with what is wrong in the file.
    """
    from vendor.trellis2.layout import PIPELINE_FILE, LayoutError, in_hub_cache, read_layout

    repository = TRELLIS2.parts[0].repository
    own = (folder or TRELLIS2.folder) / repository
    cached = in_hub_cache(f"{repository}/{PIPELINE_FILE}")
    root = own if (own / PIPELINE_FILE).is_file() else folder or (own if cached is None else cached.parent)
    try:
        return read_layout(root)
    except LayoutError as error:
        raise unavailable(error) from error


def trellis2_files(layout: "Layout") -> list[Path]:
    """Every file that the generator may need. Raises ``BackendUnavailable`` that names the first missing one."""
    from vendor.trellis2.layout import ENCODER_FILES, NETWORKS, PIPELINE_FILE, LayoutError

    try:
        found = [layout.find(name) for name in NETWORKS]
        encoder = layout.find_encoder()
    except LayoutError as error:
        raise unavailable(error) from error
    networks = [path for each in found for path in (each.config, each.weights)]
    return [layout.root / PIPELINE_FILE, *networks, *(encoder / name for name in ENCODER_FILES)]


def unavailable(error: "LayoutError") -> BackendUnavailable:
    """The port's complaint about a file, with the command that mends it."""
    remedy = f"Run ./forge models pull {TRELLIS2.name}; docs/generators.md says how to bring the files by hand."
    return BackendUnavailable(error.problem, subject=str(error.file), remedy=error.remedy or remedy)
