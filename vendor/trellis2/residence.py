"""Which networks stay in the accelerator's memory, and what happens where it runs out.

A profile fits a memory size. The largest keeps every network where it computes; the others hold one at a time and read
it again when it is needed, from files that the system still has in memory. Smaller profiles also work in smaller
blocks. None of that changes a result beyond rounding, so that a stage which ran out of memory is done again under the
next smaller profile, with the same noise.
"""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TypeVar

import torch
from torch import nn

from vendor.trellis2 import sparse_conv
from vendor.trellis2.checkpoint import Precision, load_model
from vendor.trellis2.conditioning import load_encoder
from vendor.trellis2.flow import FlowTransformer
from vendor.trellis2.layout import Layout

T = TypeVar("T")
ENCODER = "image_cond_model"
_GB = 1_000_000_000


@dataclass(frozen=True, slots=True, kw_only=True)
class MemoryProfile:
    """How to work within a memory size."""

    budget_gb: int
    """Memory that it is made for, in 10^9 bytes."""
    keep_all: bool
    """Networks stay loaded from one stage to the next, and from one asset to the next."""
    feed_forward_rows: int | None
    """Tokens at once in the widest layer of a flow; None takes all."""
    convolution_bytes: int
    """Working memory of one sparse convolution."""

    @property
    def name(self) -> str:
        """E.g. ``12 GB``."""
        return f"{self.budget_gb} GB"


PROFILES = (
    MemoryProfile(budget_gb=24, keep_all=True, feed_forward_rows=None, convolution_bytes=1024 << 20),
    MemoryProfile(budget_gb=16, keep_all=False, feed_forward_rows=None, convolution_bytes=512 << 20),
    MemoryProfile(budget_gb=12, keep_all=False, feed_forward_rows=16_384, convolution_bytes=256 << 20),
    MemoryProfile(budget_gb=8, keep_all=False, feed_forward_rows=4096, convolution_bytes=64 << 20),
)
"""From the largest to the smallest."""


class OutOfMemory(RuntimeError):
    """Not even the smallest profile had room for a stage."""

    def __init__(self, stage: str, profile: MemoryProfile, cause: str) -> None:
        super().__init__(f"{stage} needs more memory than the {profile.name} profile has room for ({cause})")
        self.stage = stage


@dataclass(frozen=True, slots=True)
class Shrinking:
    """A stage ran out of memory and went on under a smaller profile."""

    stage: str
    before: MemoryProfile
    after: MemoryProfile


def fitting_profile(memory_bytes: int) -> MemoryProfile:
    """The largest profile that fits; the smallest where none does."""
    return next((profile for profile in PROFILES if profile.budget_gb * _GB <= memory_bytes), PROFILES[-1])


def is_out_of_memory(error: BaseException) -> bool:
    """Whether an error says that memory ran out, on CUDA, on Metal or on the processor."""
    if isinstance(error, torch.OutOfMemoryError | MemoryError):
        return True
    text = str(error)
    return isinstance(error, RuntimeError) and ("out of memory" in text or "can't allocate memory" in text)


@dataclass(slots=True, kw_only=True)
class Residence:
    """Loads networks when they are needed and lets go of them as the profile says."""

    layout: Layout
    device: torch.device
    profile: MemoryProfile
    load: Callable[[str], nn.Module]
    """Brings a network by its official name to the device."""
    shrunk: list[Shrinking] = field(default_factory=list)
    """What happened so far; the owner reads and empties it."""
    _loaded: dict[str, nn.Module] = field(default_factory=dict)

    def run(self, stage: str, model: str, work: Callable[[nn.Module], T]) -> T:
        """Do a stage's work with a network, under a smaller profile where memory runs out.

        Raises ``OutOfMemory`` where it runs out under the smallest. The work has to give the same when it is repeated.
        """
        while True:
            try:
                return work(self._network(model))
            except (RuntimeError, MemoryError) as error:
                if not is_out_of_memory(error):
                    raise
                smaller = PROFILES[PROFILES.index(self.profile) + 1 :]
                cause = str(error).splitlines()[0]
                if not smaller:
                    raise OutOfMemory(stage, self.profile, cause) from None
            finally:
                if not self.profile.keep_all:
                    self.release()
            self.release()
            self.shrunk.append(Shrinking(stage, self.profile, smaller[0]))
            self.profile = smaller[0]

    def release(self) -> None:
        """Let go of every network, and hand free memory back."""
        self._loaded.clear()
        if self.device.type == "cuda":
            torch.cuda.empty_cache()
        elif self.device.type == "mps":
            torch.mps.empty_cache()

    def _network(self, name: str) -> nn.Module:
        if name not in self._loaded:
            self._loaded[name] = self.load(name)
        model = self._loaded[name]
        if isinstance(model, FlowTransformer):
            model.limit_rows(self.profile.feed_forward_rows)
        path = sparse_conv.best_path(self.device)
        settings = sparse_conv.ConvSettings(path=path, block_bytes=self.profile.convolution_bytes)
        sparse_conv.configure(model, settings)
        return model


def official_networks(
    layout: Layout, precision: Precision, device: torch.device, *, compile_flows: bool = False
) -> Callable[[str], nn.Module]:
    """Loads networks from the files of the official layout."""

    def load(name: str) -> nn.Module:
        if name == ENCODER:
            return load_encoder(layout.find_encoder(), precision.encoder, device)
        model = load_model(layout.find(name), precision, device)
        if compile_flows and isinstance(model, FlowTransformer):
            model.compile_blocks()
        return model

    return load
