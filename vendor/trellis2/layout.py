"""The official folder: what ``pipeline.json`` says, and where the files lie that it refers to.

References such as ``ckpts/shape_dec_next_dc_f16c32_fp16`` are looked for inside the folder; those that name another
repository, such as ``microsoft/TRELLIS-image-large/ckpts/ss_dec_conv3d_16l8_fp16``, inside the folder, beside it (as
``./forge models pull`` lays them out) and in the cache of the Hugging Face hub. Nothing is ever fetched from here.
"""

import json
import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from vendor.trellis2.sampler_settings import SamplerSettings

PIPELINE_FILE = "pipeline.json"
SAMPLER = "FlowEulerGuidanceIntervalSampler"
ENCODER = "DinoV3FeatureExtractor"
ENCODER_FILES = ("config.json", "model.safetensors")
STRUCTURE_FLOW = "sparse_structure_flow_model"
STRUCTURE_DECODER = "sparse_structure_decoder"
SHAPE_DECODER = "shape_slat_decoder"
TEXTURE_DECODER = "tex_slat_decoder"
NETWORKS = (
    STRUCTURE_FLOW,
    STRUCTURE_DECODER,
    "shape_slat_flow_model_512",
    "shape_slat_flow_model_1024",
    SHAPE_DECODER,
    "tex_slat_flow_model_512",
    "tex_slat_flow_model_1024",
    TEXTURE_DECODER,
)
"""Official names of all networks that any road needs, the image encoder apart."""


class LayoutError(ValueError):
    """A file of the official layout is missing or is not what it should be."""

    def __init__(self, file: Path, problem: str, remedy: str = "") -> None:
        super().__init__(f"{file}: {problem}")
        self.file = file
        self.problem = problem
        self.remedy = remedy

    def __reduce__(self) -> tuple[object, ...]:
        return (type(self), (self.file, self.problem, self.remedy))


@dataclass(frozen=True, slots=True)
class ModelFiles:
    """One network: its sizes and its weights."""

    config: Path
    weights: Path


@dataclass(frozen=True, slots=True)
class Spread:
    """Mean and standard deviation of each channel of a latent; the flows work on latents without them."""

    mean: tuple[float, ...]
    std: tuple[float, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Layout:
    """The contents of ``pipeline.json``."""

    root: Path
    models: Mapping[str, str]
    """Reference of each network by its official name, e.g. ``shape_slat_flow_model_512``."""
    encoder: str
    """Reference of the image encoder's folder."""
    structure: SamplerSettings
    shape: SamplerSettings
    texture: SamplerSettings
    shape_spread: Spread
    texture_spread: Spread

    def find(self, model: str) -> ModelFiles:
        """Files of a network by its official name. Raises ``LayoutError`` that names the file that is missing."""
        if model not in self.models:
            raise LayoutError(self.root / PIPELINE_FILE, f"names no {model}.")
        reference = self.models[model]
        found = [self._find_file(f"{reference}{ending}") for ending in (".json", ".safetensors")]
        return ModelFiles(*found)

    def find_encoder(self) -> Path:
        """Folder of the image encoder. Raises ``LayoutError`` that names the file that is missing."""
        found = [self._find_file(f"{self.encoder}/{name}") for name in ENCODER_FILES]
        return found[0].parent

    def _find_file(self, reference: str) -> Path:
        places = [self.root / reference]
        if reference.count("/") > 1:
            places.append(self.root.parent.parent / reference)
        for place in places:
            if place.is_file():
                return place
        cached = in_hub_cache(reference)
        if cached is None:
            raise LayoutError(places[-1], "is missing.")
        return cached


def read_layout(root: Path) -> Layout:
    """Read ``pipeline.json``. Raises ``LayoutError`` with what is wrong in it."""
    file = root / PIPELINE_FILE
    args = read_json(file).get("args")
    if not isinstance(args, dict):
        raise LayoutError(file, "has no 'args'; is this the folder of TRELLIS.2?")
    try:
        encoder = args["image_cond_model"]
        if encoder["name"] != ENCODER:
            raise LayoutError(file, f"asks for the image encoder {encoder['name']!r}; only {ENCODER} is known.")
        return Layout(
            root=root,
            models={str(name): str(reference) for name, reference in args["models"].items()},
            encoder=str(encoder["args"]["model_name"]),
            structure=_sampler(file, args["sparse_structure_sampler"]),
            shape=_sampler(file, args["shape_slat_sampler"]),
            texture=_sampler(file, args["tex_slat_sampler"]),
            shape_spread=_spread(file, args["shape_slat_normalization"]),
            texture_spread=_spread(file, args["tex_slat_normalization"]),
        )
    except KeyError as error:
        raise LayoutError(file, f"lacks the entry {error.args[0]!r}.") from error
    except (AttributeError, TypeError) as error:
        raise LayoutError(file, f"has an entry of the wrong kind ({error}).") from error


def read_json(file: Path) -> dict[str, Any]:
    """A JSON object. Raises ``LayoutError``."""
    try:
        content = json.loads(file.read_text(encoding="utf-8"))
    except FileNotFoundError as error:
        raise LayoutError(file, "is missing.") from error
    except (OSError, ValueError) as error:
        raise LayoutError(file, f"cannot be read ({error}).") from error
    if not isinstance(content, dict):
        raise LayoutError(file, "holds no JSON object.")
    return content


def _sampler(file: Path, entry: Mapping[str, Any]) -> SamplerSettings:
    if entry["name"] != SAMPLER:
        raise LayoutError(file, f"asks for the sampler {entry['name']!r}; only {SAMPLER} is known.")
    params = entry["params"]
    known = {"steps", "guidance_strength", "guidance_rescale", "guidance_interval", "rescale_t"}
    if set(params) - known:
        raise LayoutError(file, f"sets {sorted(set(params) - known)} of a sampler, which nothing here knows.")
    low, high = params.get("guidance_interval", (0.0, 1.0))
    return SamplerSettings(
        steps=int(params["steps"]),
        guidance_strength=float(params["guidance_strength"]),
        guidance_rescale=float(params.get("guidance_rescale", 0.0)),
        guidance_interval=(float(low), float(high)),
        rescale_t=float(params.get("rescale_t", 1.0)),
        sigma_min=float(entry["args"]["sigma_min"]),
    )


def _spread(file: Path, entry: Mapping[str, Any]) -> Spread:
    spread = Spread(tuple(map(float, entry["mean"])), tuple(map(float, entry["std"])))
    if len(spread.mean) != len(spread.std) or not all(value > 0.0 for value in spread.std):
        raise LayoutError(file, "has means and deviations that do not fit together.")
    return spread


def hub_cache() -> Path:
    """Where the Hugging Face client keeps what it fetched."""
    named = os.environ.get("HF_HUB_CACHE")
    if named:
        return Path(named)
    home = os.environ.get("HF_HOME") or Path(os.environ.get("XDG_CACHE_HOME", Path.home() / ".cache")) / "huggingface"
    return Path(home) / "hub"


def in_hub_cache(reference: str) -> Path | None:
    """The cached ``owner/name/file`` of the newest revision that was fetched, or None."""
    owner, _, rest = reference.partition("/")
    name, _, file = rest.partition("/")
    repository = hub_cache() / f"models--{owner}--{name}"
    try:
        revision = (repository / "refs" / "main").read_text(encoding="utf-8").strip()
    except OSError:
        return None
    found = repository / "snapshots" / revision / file
    return found if file and found.is_file() else None
