"""TRELLIS.2 as a generator: ``vendor/trellis2`` with the official weights, on CUDA, Metal or the processor.

Pictures come in as cutouts; several of them are followed together at every step. Fast goes straight to 512, Balanced
and Hero cascade from 512 to 1024 and 1536. Everything that the port raises is translated here.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from bridge_server.backends import hub_weights
from bridge_server.backends.generator import trellis2_choices as choices
from bridge_server.backends.generator.base import GenerationSettings
from bridge_server.backends.generator.trellis2_choices import Choices
from bridge_server.backends.generator.trellis2_surface import high_poly_of
from bridge_server.backends.table import Availability
from bridge_server.errors import BackendUnavailable, InputError, StageFailed
from bridge_server.run import PartialRun, Run
from bridge_server.values.base import Notice, Severity
from bridge_server.values.image import Cutouts
from bridge_server.values.mesh import HighPoly

if TYPE_CHECKING:
    from vendor.trellis2.layout import Layout
    from vendor.trellis2.pipeline import Wish
    from vendor.trellis2.residence import Residence

NAME = "trellis2"
VERSION = 1
OPAQUE = 204
"""Opacity above which a pixel belongs to the subject, as when it is framed."""


class Trellis2Generator:
    """Image to mesh with learned weights; networks are loaded at first use and kept as the memory profile says."""

    def __init__(self) -> None:
        self._networks: Residence | None = None
        self._weights = ""

    @classmethod
    def availability(cls) -> Availability:
        """Packages, an accelerator or the wish to do without, and every file of the weights; torch stays unloaded."""
        missing = choices.missing_packages()
        if missing:
            return Availability(
                available=False, detail=f"{', '.join(missing)} not installed.", remedy=f"{choices.INSTALL}."
            )
        try:
            chosen = Choices.from_environment()
            device = chosen.device or choices.likely_device()
            layout = hub_weights.trellis2_layout(chosen.folder)
            hub_weights.trellis2_files(layout)
        except (BackendUnavailable, InputError) as error:
            return Availability(available=False, detail=f"{error.subject}: {error.message}", remedy=error.remedy)
        if not device:
            remedy = f"Set {choices.DEVICE_VARIABLE}=cpu to run it on the processor, which takes hours an asset."
            return Availability(available=False, detail="neither CUDA nor Metal is here.", remedy=remedy)
        if device == "cuda" and choices.torch_is_for_the_processor_alone():
            remedy = f"Install torch for CUDA from pytorch.org, or set {choices.DEVICE_VARIABLE}=cpu (hours an asset)."
            return Availability(available=False, detail="the installed torch has no CUDA.", remedy=remedy)
        return Availability(available=True, detail=f"weights in {layout.root}, on {device}")

    @property
    def identity(self) -> str:
        """Versions, types of numbers, and a digest of the weights that reads a few blocks of each file."""
        chosen = Choices.from_environment()
        if not self._weights:
            self._weights = hub_weights.quick_digest(
                hub_weights.trellis2_files(hub_weights.trellis2_layout(chosen.folder))
            )
        device = chosen.device or choices.likely_device() or "cpu"
        return f"{NAME} {VERSION} {device} {chosen.precision or 'auto'} weights {self._weights}"

    def generate(self, cutouts: Cutouts, settings: GenerationSettings, run: Run) -> HighPoly:
        """See ``Generator``; every setting applies."""
        run.checkpoint(0.0, "loading the networks")
        for cutout in cutouts.cutouts:
            if not (cutout.pixels[..., 3] > OPAQUE).any():
                raise StageFailed(
                    "the cutout is empty.",
                    subject=cutout.name or str(cutout.view),
                    remedy="Choose a photo whose subject stands out, or leave this view out.",
                    reason="NO_SUBJECT",
                )
        wish = wish_of(settings)
        with _errors_told(settings):
            if self._networks is None:
                self._networks = open_networks(Choices.from_environment())
            networks = self._networks
            networks.shrunk.clear()
            from vendor.trellis2.pipeline import generate

            pictures = [cutout.pixels for cutout in cutouts.cutouts]
            made = generate(networks, pictures, wish, PartialRun(run, 0.02, 0.95).checkpoint)
        if not len(made.faces):
            raise _nothing_made("the decoded surface has no face.")
        run.checkpoint(0.95, "turning the surface outward")
        notices = (*_memory_notices(networks), *_resolution_notices(wish, made.resolution))
        return high_poly_of(made, notices)


def wish_of(settings: GenerationSettings) -> "Wish":
    """Which way through the networks a quality takes."""
    from vendor.trellis2.pipeline import Road, Wish

    if settings.resolution <= Road.AT_512.resolution:
        road = Road.AT_512
    elif settings.resolution <= Road.CASCADE_1024.resolution:
        road = Road.CASCADE_1024
    else:
        road = Road.CASCADE_1536
    return Wish(
        road=road,
        structure_steps=settings.sparse_structure_steps,
        shape_steps=settings.shape_steps,
        texture_steps=settings.texture_steps,
        seed=settings.seed,
    )


def open_networks(chosen: Choices) -> "Residence":
    """Decide on device, precision and memory profile. Raises ``BackendUnavailable`` with cause and remedy."""
    from vendor.trellis2.residence import PROFILES, Residence, official_networks

    layout: Layout = hub_weights.trellis2_layout(chosen.folder)
    device = _device(chosen)
    precision = _precision(chosen.precision, device)
    by_size = {str(profile.budget_gb): profile for profile in PROFILES}
    profile = by_size[chosen.memory_gb] if chosen.memory_gb else _fitting(device)
    load = official_networks(layout, precision, device, compile_flows=chosen.compile_flows)
    return Residence(layout=layout, device=device, profile=profile, load=load)


def _device(chosen: Choices) -> Any:
    import torch

    name = chosen.device or choices.likely_device() or "cpu"
    there = {"cuda": torch.cuda.is_available(), "mps": torch.backends.mps.is_available(), "cpu": True}
    if not there[name]:
        raise BackendUnavailable(
            f"torch {torch.__version__} finds no {name} device.",
            subject=f"generator {NAME!r}",
            remedy=f"Check driver and torch build, or set {choices.DEVICE_VARIABLE}=cpu (hours an asset).",
        )
    return torch.device(name)


def _precision(name: str, device: Any) -> Any:
    """As trained, flows in bfloat16 and decoders in float16, where the device has them; float32 on the processor."""
    import torch

    from vendor.trellis2.checkpoint import Precision

    if not name:
        fast = device.type == "mps" or (device.type == "cuda" and torch.cuda.is_bf16_supported())
        name = "bf16" if fast else "fp16" if device.type == "cuda" else "fp32"
    flow = {"bf16": torch.bfloat16, "fp16": torch.float16, "fp32": torch.float32}[name]
    decoder = torch.float32 if name == "fp32" or device.type == "cpu" else torch.float16
    return Precision(flow=flow, decoder=decoder, encoder=torch.float32)


def _fitting(device: Any) -> Any:
    import torch

    from vendor.trellis2.residence import PROFILES, fitting_profile

    if device.type == "cuda":
        return fitting_profile(torch.cuda.get_device_properties(device).total_memory)
    if device.type == "mps":
        return fitting_profile(torch.mps.recommended_max_memory())
    return PROFILES[1]


@contextmanager
def _errors_told(settings: GenerationSettings) -> Iterator[None]:
    from vendor.trellis2.layout import LayoutError
    from vendor.trellis2.pipeline import NoStructure, NotFinite
    from vendor.trellis2.residence import OutOfMemory
    from vendor.trellis2.sparse_decoder import NothingDecoded

    try:
        yield
    except LayoutError as error:
        raise hub_weights.unavailable(error) from error
    except (NoStructure, NothingDecoded) as error:
        raise _nothing_made(f"{error}.") from error
    except NotFinite as error:
        raise StageFailed(
            f"{error}.",
            subject=f"generator {NAME!r}",
            remedy=f"Set {choices.PRECISION_VARIABLE}=fp32.",
            reason="NOT_FINITE",
        ) from error
    except OutOfMemory as error:
        lower = "Choose a lower quality" if settings.resolution > 512 else "Use a device with more memory"
        raise StageFailed(
            f"{error}.",
            subject=f"generator {NAME!r}",
            remedy=f"{lower}, or close other programs that use the device.",
            reason="OUT_OF_MEMORY",
        ) from error


def _nothing_made(message: str) -> StageFailed:
    remedy = "Choose another seed (generate.seed), or a photo that shows the subject whole."
    return StageFailed(message, subject=f"generator {NAME!r}", remedy=remedy, reason="NO_SOLID")


def _memory_notices(networks: "Residence") -> list[Notice]:
    return [
        Notice(
            code="memory_profile_lowered",
            message=(
                f"Memory ran out while {each.stage} under the {each.before.name} profile; it went on under the "
                f"{each.after.name} profile, more slowly and with the same result."
            ),
            remedy=f"Close other programs on the device, or set {choices.MEMORY_VARIABLE}={each.after.budget_gb}.",
        )
        for each in networks.shrunk
    ]


def _resolution_notices(wish: "Wish", resolution: int) -> list[Notice]:
    if resolution == wish.road.resolution:
        return []
    message = (
        f"The shape needs so many cells that the grid was lowered from {wish.road.resolution} to {resolution} an edge."
    )
    return [Notice(code="resolution_lowered", message=message, severity=Severity.INFO)]
