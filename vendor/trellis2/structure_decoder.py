"""The decoder of the sparse structure: a dense latent volume becomes the logit of each cell being there.

Checkpoint `ss_dec_conv3d_16l8_fp16` of `microsoft/TRELLIS-image-large`: 8 channels at 16^3 become one at 64^3.
"""

from collections.abc import Mapping
from dataclasses import dataclass

import torch
from jaxtyping import Bool, Float
from torch import Tensor, nn
from torch.nn import functional

from vendor.trellis2.norms import ChannelNorm


@dataclass(frozen=True, slots=True, kw_only=True)
class StructureDecoderConfig:
    """The arguments of the checkpoint that shape it."""

    out_channels: int = 1
    latent_channels: int = 8
    num_res_blocks: int = 2
    num_res_blocks_middle: int = 2
    channels: tuple[int, ...] = (512, 128, 32)
    """From the coarsest level to the finest."""

    @classmethod
    def from_args(cls, args: Mapping[str, object]) -> "StructureDecoderConfig":
        """Read the `args` of `ckpts/<name>.json`."""
        if args.get("norm_type", "layer") != "layer":
            raise ValueError(f"norm_type {args['norm_type']!r} is unknown; the official decoder uses 'layer'")
        counts = ("out_channels", "latent_channels", "num_res_blocks", "num_res_blocks_middle")
        given = {name: int(str(args[name])) for name in counts if name in args}
        channels = args["channels"]
        if not isinstance(channels, list | tuple):
            raise TypeError(f"channels must be a list of numbers, not {channels!r}")
        return cls(channels=tuple(int(count) for count in channels), **given)


class StructureDecoder(nn.Module):
    """Residual blocks at each resolution, twice as fine from one to the next."""

    def __init__(self, config: StructureDecoderConfig) -> None:
        super().__init__()
        widest, last = config.channels[0], config.channels[-1]
        self.input_layer = nn.Conv3d(config.latent_channels, widest, 3, padding=1)
        self.middle_block = nn.Sequential(*(ResidualBlock(widest) for _ in range(config.num_res_blocks_middle)))
        self.blocks = nn.ModuleList()
        for level, channels in enumerate(config.channels):
            self.blocks.extend(ResidualBlock(channels) for _ in range(config.num_res_blocks))
            if level + 1 < len(config.channels):
                self.blocks.append(UpsampleBlock(channels, config.channels[level + 1]))
        self.out_layer = nn.Sequential(ChannelNorm(last), nn.SiLU(), nn.Conv3d(last, config.out_channels, 3, padding=1))

    def forward(self, latent: Float[Tensor, "1 channels x y z"]) -> Float[Tensor, "1 out x4 y4 z4"]:
        """Logits; above zero a cell is there. The torso computes in the type of its own weights."""
        hidden = self.input_layer(latent.to(self.input_layer.weight.dtype))
        outer = hidden.dtype
        for block in (*self.middle_block, *self.blocks):
            hidden = block(hidden.to(block.dtype))
        return self.out_layer(hidden.to(outer))


class ResidualBlock(nn.Module):
    """norm, SiLU, convolution, twice, added to the input."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.norm1 = ChannelNorm(channels)
        self.norm2 = ChannelNorm(channels)
        self.conv1 = nn.Conv3d(channels, channels, 3, padding=1)
        self.conv2 = nn.Conv3d(channels, channels, 3, padding=1)

    @property
    def dtype(self) -> torch.dtype:
        """Type that the convolutions compute in."""
        return self.conv1.weight.dtype

    def forward(self, volume: Float[Tensor, "1 channels x y z"]) -> Float[Tensor, "1 channels x y z"]:
        """Same shape out as in."""
        hidden = self.conv1(functional.silu(self.norm1(volume)))
        return volume + self.conv2(functional.silu(self.norm2(hidden)))


class UpsampleBlock(nn.Module):
    """A convolution to eight times the channels, which then become cells."""

    def __init__(self, channels: int, out_channels: int) -> None:
        super().__init__()
        self.conv = nn.Conv3d(channels, out_channels * 8, 3, padding=1)

    @property
    def dtype(self) -> torch.dtype:
        """Type that the convolution computes in."""
        return self.conv.weight.dtype

    def forward(self, volume: Float[Tensor, "1 channels x y z"]) -> Float[Tensor, "1 out x2 y2 z2"]:
        """Twice as many cells along each axis."""
        return pixel_shuffle_3d(self.conv(volume))


def pixel_shuffle_3d(volume: Float[Tensor, "1 channels x y z"]) -> Float[Tensor, "1 eighth x2 y2 z2"]:
    """Channel `8 c + 4 i + 2 j + k` of a cell becomes channel `c` of its child at step (i, j, k) along x, y, z."""
    batch, channels, x, y, z = volume.shape
    steps = volume.reshape(batch, channels // 8, 2, 2, 2, x, y, z)
    return steps.permute(0, 1, 5, 2, 6, 3, 7, 4).reshape(batch, channels // 8, 2 * x, 2 * y, 2 * z)


def occupancy(logits: Float[Tensor, "1 1 x y z"], resolution: int) -> Bool[Tensor, "a b c"]:
    """Cells that are there, on a grid of `resolution` an edge: a coarse cell is there where any fine one is."""
    there = logits[0, 0] > 0
    edge = there.shape[0]
    if edge % resolution:
        raise ValueError(f"a grid of {edge} cells an edge cannot be brought to {resolution}")
    share = edge // resolution
    blocks = there.reshape(resolution, share, resolution, share, resolution, share)
    return blocks.any(dim=5).any(dim=3).any(dim=1)
