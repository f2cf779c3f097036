"""From cutouts to a decoded asset: coarse structure, shape, texture, surface.

Noise is drawn on the processor from one seed, in upstream's order, so that every device starts from the same numbers.
"""

import enum
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import cast

import numpy as np
import torch
from jaxtyping import Float, Float32, Int32, UInt8
from torch import Tensor, nn

from vendor.trellis2 import decoding, layout
from vendor.trellis2.conditioning import framed
from vendor.trellis2.decoding import DecodedAsset
from vendor.trellis2.flow import FlowTransformer
from vendor.trellis2.layout import Spread
from vendor.trellis2.residence import ENCODER, Residence
from vendor.trellis2.rotary import dense_coords, rotation_of
from vendor.trellis2.sampler import sample
from vendor.trellis2.sampler_settings import SamplerSettings
from vendor.trellis2.sparse_decoder import SparseDecoder
from vendor.trellis2.structure_decoder import StructureDecoder, occupancy
from vendor.trellis2.voxels import SparseTensor, Voxels, occupied_voxels

COARSE_PX, FINE_PX = 512, 1024
"""Edge of the picture that the encoder sees, for the flows trained at 512 and at 1024."""
CELLS_A_TOKEN = 16
"""Cells of the final grid along each edge of a token."""
UPSAMPLINGS = 4
LEAST_CASCADE = 1024
CASCADE_STEP = 128
MOST_TOKENS = 49_152

Progress = Callable[[float, str], None]
"""Called with the share done and what is being done; an exception it raises stops the work."""


class Road(enum.StrEnum):
    """The four ways through the networks, by their official names."""

    AT_512 = "512"
    AT_1024 = "1024"
    CASCADE_1024 = "1024_cascade"
    CASCADE_1536 = "1536_cascade"

    @property
    def resolution(self) -> int:
        """Cells along each edge of the final grid, before the cascade lowers it."""
        return int(self.value.partition("_")[0])

    @property
    def is_cascade(self) -> bool:
        """Whether the shape is sampled twice, first at 512."""
        return self in (Road.CASCADE_1024, Road.CASCADE_1536)


class NoStructure(RuntimeError):
    """The coarse structure came out without a single cell."""


class NotFinite(RuntimeError):
    """Numbers left the range of the precision."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Wish:
    """What is to be made."""

    road: Road
    structure_steps: int
    shape_steps: int
    texture_steps: int
    seed: int
    most_tokens: int = MOST_TOKENS


@dataclass(frozen=True, slots=True)
class Contexts:
    """What each network sees: the tokens of every picture, at the resolution it was trained with."""

    coarse: list[Tensor]
    fine: list[Tensor]


@dataclass(frozen=True, slots=True)
class Stretch:
    """A share of the whole way, for its progress."""

    tell: Progress
    start: float
    end: float
    note: str

    def __call__(self, share: float) -> None:
        """Tell how far the whole is when this is ``share`` done."""
        self.tell(self.start + (self.end - self.start) * share, self.note)


@torch.no_grad()
def generate(
    networks: Residence, cutouts: Sequence[UInt8[np.ndarray, "height width 4"]], wish: Wish, tell: Progress
) -> DecodedAsset:
    """Make one asset out of one or several pictures of it; ``resolution`` of the result is what the cascade chose."""
    making = _Making(networks, wish, torch.Generator().manual_seed(wish.seed), tell)
    contexts = making.look(cutouts)
    cells = making.structure(contexts.coarse)
    shape, resolution = making.shape(contexts, cells)
    texture = making.texture(contexts, shape)
    return making.decode(shape, texture, resolution)


def cascade_cells(
    fine: Int32[Tensor, "cells 3"], resolution: int, most_tokens: int, coarse: int = COARSE_PX
) -> tuple[Voxels, int]:
    """Tokens of the second sampling, and its resolution: lowered until there are few enough of them."""
    while True:
        edge = resolution // CELLS_A_TOKEN
        scaled = ((fine.float() + 0.5) / coarse * edge).to(torch.int64)
        taken = torch.zeros((edge, edge, edge), dtype=torch.bool, device=fine.device)
        taken[scaled[:, 0], scaled[:, 1], scaled[:, 2]] = True
        cells = occupied_voxels(taken)
        if len(cells) < most_tokens or resolution <= LEAST_CASCADE:
            return cells, resolution
        resolution -= CASCADE_STEP


@dataclass(frozen=True, slots=True)
class _Start:
    """Where a flow begins: its tokens, their noise, and what stands beside it unchanged."""

    coords: Int32[Tensor, "tokens 3"]
    noise: Float32[Tensor, "tokens channels"]
    beside: Float32[Tensor, "tokens others"] | None = None


@dataclass(frozen=True, slots=True)
class _Making:
    """One asset in the making."""

    networks: Residence
    wish: Wish
    drawn: torch.Generator
    tell: Progress

    def look(self, cutouts: Sequence[np.ndarray]) -> Contexts:
        """Let the encoder see every picture, at each resolution that is needed."""
        tell = Stretch(self.tell, 0.0, 0.05, "looking at the pictures")
        edges = (COARSE_PX,) if self.wish.road is Road.AT_512 else (COARSE_PX, FINE_PX)
        pictures = [[framed(cutout, edge) for cutout in cutouts] for edge in edges]

        def encode(model: nn.Module) -> list[list[Tensor]]:
            seen: list[list[Tensor]] = []
            for rank, group in enumerate(pictures):
                tell(rank / len(pictures))
                seen.append([model(picture) for picture in group])
            return seen

        tell(0.0)
        seen = self.networks.run(tell.note, ENCODER, encode)
        return Contexts(seen[0], seen[-1])

    def structure(self, contexts: list[Tensor]) -> Voxels:
        """Cells of the token grid: 32 an edge, or 64 for the road that goes straight to 1024."""
        tell = Stretch(self.tell, 0.05, 0.2, "finding the coarse structure")
        settings = replace(self.networks.layout.structure, steps=self.wish.structure_steps)
        noise: list[Tensor] = []

        def flow(model: nn.Module) -> Tensor:
            network = cast(FlowTransformer, model)
            edge = network.config.resolution
            if not noise:
                noise.append(self._noise(network.config.in_channels, edge, edge, edge).flatten(1).T.contiguous())
            latent = _flow(network, _Start(self._grid(edge), noise[0]), contexts, settings, tell)
            return latent.T.reshape(1, -1, edge, edge, edge)

        latent = self.networks.run(tell.note, layout.STRUCTURE_FLOW, flow)
        edge = (FINE_PX if self.wish.road is Road.AT_1024 else COARSE_PX) // CELLS_A_TOKEN

        def decode(model: nn.Module) -> Voxels:
            return occupied_voxels(occupancy(cast(StructureDecoder, model)(latent), edge))

        cells = self.networks.run(tell.note, layout.STRUCTURE_DECODER, decode)
        if not len(cells):
            raise NoStructure("the coarse structure has no cell")
        return cells

    def shape(self, contexts: Contexts, cells: Voxels) -> tuple[SparseTensor, int]:
        """The shape's latent on its cells, and the resolution it stands for."""
        road = self.wish.road
        if not road.is_cascade:
            straight = road is Road.AT_1024
            seen = contexts.fine if straight else contexts.coarse
            edge = FINE_PX if straight else COARSE_PX
            return self._shape_latent(edge, seen, cells, Stretch(self.tell, 0.2, 0.6, "shaping it")), road.resolution
        roughly = Stretch(self.tell, 0.2, 0.35, "shaping it roughly")
        latent = self._shape_latent(COARSE_PX, contexts.coarse, cells, roughly)
        refine = Stretch(self.tell, 0.35, 0.4, "refining the cells")
        fine = self.networks.run(
            refine.note,
            layout.SHAPE_DECODER,
            lambda decoder: cast(SparseDecoder, decoder).upsample(latent, UPSAMPLINGS, refine),
        )
        cells, resolution = cascade_cells(fine.coords, road.resolution, self.wish.most_tokens)
        finely = Stretch(self.tell, 0.4, 0.6, "shaping it finely")
        return self._shape_latent(FINE_PX, contexts.fine, cells, finely), resolution

    def _shape_latent(self, edge: int, contexts: list[Tensor], cells: Voxels, tell: Stretch) -> SparseTensor:
        spread = self.networks.layout.shape_spread
        settings = replace(self.networks.layout.shape, steps=self.wish.shape_steps)
        start = _Start(cells.coords, self._noise(len(cells), len(spread.mean)))
        found = self.networks.run(
            tell.note,
            f"shape_slat_flow_model_{edge}",
            lambda model: _flow(cast(FlowTransformer, model), start, contexts, settings, tell),
        )
        mean, std = self._columns(spread)
        return SparseTensor(cells, found * std + mean)

    def texture(self, contexts: Contexts, shape: SparseTensor) -> SparseTensor:
        """The texture's latent; its flow sees the shape's latent beside the noise."""
        tell = Stretch(self.tell, 0.6, 0.8, "colouring it")
        coarse = self.wish.road is Road.AT_512
        settings = replace(self.networks.layout.texture, steps=self.wish.texture_steps)
        mean, std = self._columns(self.networks.layout.shape_spread)
        spread = self.networks.layout.texture_spread
        noise = self._noise(len(shape.voxels), len(spread.mean))
        start = _Start(shape.voxels.coords, noise, (shape.features - mean) / std)
        seen = contexts.coarse if coarse else contexts.fine
        found = self.networks.run(
            tell.note,
            f"tex_slat_flow_model_{COARSE_PX if coarse else FINE_PX}",
            lambda model: _flow(cast(FlowTransformer, model), start, seen, settings, tell),
        )
        mean, std = self._columns(spread)
        return shape.holding(found * std + mean)

    def decode(self, shape: SparseTensor, texture: SparseTensor, resolution: int) -> DecodedAsset:
        """The surface and its finish."""
        first = Stretch(self.tell, 0.8, 0.9, "decoding the shape")
        grid, subdivisions = self.networks.run(
            first.note,
            layout.SHAPE_DECODER,
            lambda model: decoding.decode_shape(cast(SparseDecoder, model), shape, first),
        )
        second = Stretch(self.tell, 0.9, 0.99, "decoding the colours")
        voxels, attributes = self.networks.run(
            second.note,
            layout.TEXTURE_DECODER,
            lambda model: decoding.decode_texture(cast(SparseDecoder, model), texture, subdivisions, second),
        )
        self.tell(0.99, "building the surface")
        return decoding.assemble(grid, voxels, attributes, resolution)

    def _noise(self, *shape: int) -> Float32[Tensor, "..."]:
        return torch.randn(shape, generator=self.drawn).to(self.networks.device)

    def _grid(self, edge: int) -> Int32[Tensor, "cells 3"]:
        return dense_coords(edge, self.networks.device).to(torch.int32)

    def _columns(self, spread: Spread) -> tuple[Float32[Tensor, "channels"], Float32[Tensor, "channels"]]:
        device = self.networks.device
        return torch.tensor(spread.mean, device=device), torch.tensor(spread.std, device=device)


def _flow(
    model: FlowTransformer, start: _Start, contexts: list[Tensor], settings: SamplerSettings, tell: Stretch
) -> Float[Tensor, "tokens channels"]:
    rotation = rotation_of(start.coords, model.head_channels, model.config.rope_freq)

    def velocity(x: Tensor, time: float, context: Tensor | None) -> Tensor:
        given = x if start.beside is None else torch.cat((x, start.beside), dim=1)
        found: Tensor = model(given, time, context, rotation)
        return found

    found = sample(velocity, start.noise, contexts, settings, tell)
    if not bool(torch.isfinite(found).all()):
        raise NotFinite(f"{tell.note}: numbers left the range of {model.torso}")
    return found
