"""The decoders of the structured latents: 32 numbers in each coarse cell become the cells of a grid 16 times as fine.

Checkpoints `shape_dec_next_dc_f16c32_fp16` (predicts which children a cell has, 7 outputs) and
`tex_dec_next_dc_f16c32_fp16` (is told by the shape's decoder, 6 outputs). Inference only.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import cast

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional

from vendor.trellis2.norms import FeatureNorm
from vendor.trellis2.row_blocks import in_row_blocks, rewrite_row_blocks
from vendor.trellis2.sparse_conv import SparseConv3d, gather_conv
from vendor.trellis2.subdivision import OCTANTS, Subdivision, channel_to_space
from vendor.trellis2.voxels import SparseTensor, Voxels

SHAPE_OUTPUTS = 7
"""Vertex (3), crossed edges (3), split weight (1)."""
MLP_RATIO = 4
Progress = Callable[[float], None]
"""Called with the share of blocks done; an exception it raises stops the work."""


class NothingDecoded(RuntimeError):
    """A level of the decoder came out without a single cell."""


@dataclass(frozen=True, slots=True, kw_only=True)
class SparseDecoderConfig:
    """The arguments of the checkpoint that shape it."""

    out_channels: int
    predicts_subdivision: bool
    latent_channels: int = 32
    model_channels: tuple[int, ...] = (1024, 512, 256, 128, 64)
    num_blocks: tuple[int, ...] = (4, 16, 8, 4, 0)

    @classmethod
    def from_checkpoint(cls, name: str, args: Mapping[str, object]) -> "SparseDecoderConfig":
        """Read the `name` and `args` of `ckpts/<name>.json`."""
        if name not in ("FlexiDualGridVaeDecoder", "SparseUnetVaeDecoder"):
            raise ValueError(f"{name!r} is no sparse decoder of TRELLIS.2")
        is_shape = name == "FlexiDualGridVaeDecoder"
        _refuse_other_blocks(args)
        return cls(
            out_channels=SHAPE_OUTPUTS if is_shape else int(str(args["out_channels"])),
            predicts_subdivision=is_shape or bool(args.get("pred_subdiv", True)),
            latent_channels=int(str(args["latent_channels"])),
            model_channels=_whole_numbers("model_channels", args),
            num_blocks=_whole_numbers("num_blocks", args),
        )


class SparseDecoder(nn.Module):
    """ConvNeXt blocks at each level, an up-block between levels."""

    def __init__(self, config: SparseDecoderConfig) -> None:
        super().__init__()
        self.config = config
        channels = config.model_channels
        self.from_latent = nn.Linear(config.latent_channels, channels[0])
        self.output_layer = nn.Linear(channels[-1], config.out_channels)
        self.blocks = nn.ModuleList()
        for level, count in enumerate(config.num_blocks):
            stage = nn.ModuleList(ConvNeXtBlock(channels[level]) for _ in range(count))
            if level + 1 < len(config.num_blocks):
                stage.append(UpBlock(channels[level], channels[level + 1], config.predicts_subdivision))
            self.blocks.append(stage)

    @property
    def _stages(self) -> list[list[nn.Module]]:
        return [list(cast(nn.ModuleList, stage)) for stage in self.blocks]

    @property
    def levels(self) -> int:
        """How many times the grid gets twice as fine."""
        return len(self.blocks) - 1

    @torch.no_grad()
    def forward(
        self,
        latent: SparseTensor,
        guide: list[Subdivision] | None = None,
        progress: Progress = lambda _share: None,
    ) -> tuple[SparseTensor, list[Subdivision]]:
        """The outputs on the finest grid, in float32, and the subdivision of each level.

        `guide` holds the subdivisions of another decoder for the same cells; it is needed where this one predicts
        none, and only there.
        """
        if (guide is None) != self.config.predicts_subdivision:
            wanted = "predicts its own subdivision" if guide else "needs the subdivision of the shape"
            raise ValueError(f"this decoder {wanted}")
        volume, subdivisions = self._descend(latent, self.levels, guide, progress)
        for block in self._stages[-1]:
            volume = block(volume)
        last = self.output_layer.weight.dtype
        width = self.config.model_channels[-1]
        head = in_row_blocks(
            lambda rows: self.output_layer(functional.layer_norm(rows.float(), (width,)).to(last)).float(),
            volume.features,
            row_bytes=12 * width,
        )
        return volume.holding(head), subdivisions

    @torch.no_grad()
    def upsample(self, latent: SparseTensor, times: int, progress: Progress = lambda _share: None) -> Voxels:
        """The cells after `times` subdivisions, as the cascade takes them."""
        if not self.config.predicts_subdivision:
            raise ValueError("a decoder that predicts no subdivision cannot upsample")
        if not 0 < times <= self.levels:
            raise ValueError(f"can upsample 1 to {self.levels} times, not {times}")
        return self._descend(latent, times, None, progress)[0].voxels

    def _descend(
        self, latent: SparseTensor, levels: int, guide: list[Subdivision] | None, progress: Progress
    ) -> tuple[SparseTensor, list[Subdivision]]:
        first = self.from_latent.weight.dtype
        volume = latent.holding(self.from_latent(latent.features.to(first)))
        stages = self._stages[:levels]
        total, done = sum(len(stage) for stage in stages), 0
        subdivisions: list[Subdivision] = []
        for level, stage in enumerate(stages):
            for block in stage:
                volume = volume.holding(volume.features.to(torso_dtype(self)))
                if isinstance(block, UpBlock):
                    volume, subdivision = block(volume, guide[level] if guide else None)
                    subdivisions.append(subdivision)
                    if not len(volume.voxels):
                        raise NothingDecoded(f"level {level + 1} of the decoder has no cell left")
                else:
                    volume = block(volume)
                done += 1
                progress(done / total)
        return volume, subdivisions


class ConvNeXtBlock(nn.Module):
    """Convolution, norm and a two-layer perceptron, added to the input."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.norm = FeatureNorm(channels)
        self.conv = SparseConv3d(channels, channels)
        self.mlp = nn.Sequential(
            nn.Linear(channels, MLP_RATIO * channels), nn.SiLU(), nn.Linear(MLP_RATIO * channels, channels)
        )

    def forward(self, volume: SparseTensor) -> SparseTensor:
        """Same cells and channels out as in."""
        mixed = self.conv(volume).features
        row_bytes = (2 * MLP_RATIO + 3) * 4 * mixed.shape[1]
        rewrite_row_blocks(lambda rows: self.mlp(self.norm(rows)), mixed, row_bytes)
        return volume.holding(mixed.add_(volume.features))


class UpBlock(nn.Module):
    """To the children of each cell: the first convolution's channels become cells, the second one mixes them."""

    def __init__(self, channels: int, out_channels: int, predicts_subdivision: bool) -> None:
        super().__init__()
        self.norm1 = FeatureNorm(channels)
        self.norm2 = FeatureNorm(out_channels, affine=False)
        self.conv1 = SparseConv3d(channels, out_channels * OCTANTS)
        self.conv2 = SparseConv3d(out_channels, out_channels)
        self.to_subdiv = nn.Linear(channels, OCTANTS) if predicts_subdivision else None
        self.skip_repeats = out_channels * OCTANTS // channels

    def forward(self, volume: SparseTensor, guide: Subdivision | None = None) -> tuple[SparseTensor, Subdivision]:
        """The children with half the channels, and which children there are."""
        if self.to_subdiv is not None:
            subdivision = Subdivision(volume.voxels, self.to_subdiv(volume.features) > 0)
        elif guide is not None:
            subdivision = guide
        else:
            raise ValueError("an up-block that predicts no subdivision has to be given one")
        row_bytes = 12 * volume.features.shape[1]
        hidden = in_row_blocks(lambda rows: functional.silu(self.norm1(rows)), volume.features, row_bytes)
        hidden = self._children(hidden, subdivision)
        rewrite_row_blocks(lambda rows: functional.silu(self.norm2(rows)), hidden, row_bytes)
        mixed = self.conv2(SparseTensor(subdivision.children, hidden))
        skip = channel_to_space(volume, subdivision).features
        mixed.features.unflatten(1, (-1, self.skip_repeats)).add_(skip[:, :, None])
        return mixed, subdivision

    def _children(
        self, features: Float[Tensor, "cells channels"], subdivision: Subdivision
    ) -> Float[Tensor, "children out_channels"]:
        """`channel_to_space` of the first convolution, without computing the channels of absent children."""
        table = subdivision.parents.neighbours
        weights = self.conv1.weight.chunk(OCTANTS)
        biases = self.conv1.bias.chunk(OCTANTS)
        out = features.new_empty((len(subdivision.octants), len(biases[0])))
        for octant in range(OCTANTS):
            rows = (subdivision.octants == octant).nonzero().squeeze(1)
            taken = table.index_select(1, subdivision.parent_rows[rows])
            out[rows] = gather_conv(features, taken, weights[octant], biases[octant], self.conv1.settings)
        return out


def torso_dtype(decoder: SparseDecoder) -> torch.dtype:
    """Type that the blocks compute in."""
    return next(part.weight.dtype for part in decoder.blocks.modules() if isinstance(part, SparseConv3d))


def set_torso_dtype(decoder: nn.Module, dtype: torch.dtype) -> None:
    """Convert the convolutions and linear layers between the first and the last layer, and nothing else.

    Upstream runs these in float16. Norms compute in float32 whatever their parameters are stored in.
    """
    for name in ("blocks", "middle_block"):
        torso = getattr(decoder, name, None)
        for part in torso.modules() if torso is not None else ():
            if isinstance(part, SparseConv3d | nn.Linear | nn.Conv3d):
                part.to(dtype)


def _whole_numbers(name: str, args: Mapping[str, object]) -> tuple[int, ...]:
    given = args[name]
    if not isinstance(given, list | tuple) or not all(isinstance(count, int) for count in given):
        raise TypeError(f"{name} must be a list of whole numbers, not {given!r}")
    return tuple(given)


def _refuse_other_blocks(args: Mapping[str, object]) -> None:
    for name, known in (("block_type", "SparseConvNeXtBlock3d"), ("up_block_type", "SparseResBlockC2S3d")):
        given = args.get(name, [])
        if not isinstance(given, list | tuple) or set(given) - {known}:
            raise ValueError(f"{name} {given!r} is unknown; the official decoders use {known} alone")
