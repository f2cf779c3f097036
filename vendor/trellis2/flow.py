"""The flow transformer: one network that three of TRELLIS.2's models share (Peebles and Xie, "DiT", 2023).

Tokens are cells of a grid: all 16^3 of them for the coarse structure, the occupied ones for shape and texture. The time
acts on every block through one shared modulation, to which each block adds its own. Linear layers inside the blocks
work in the type of the torso; everything else stays in float32, as upstream has it.
"""

import math
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from jaxtyping import Float, Float32
from torch import Tensor, nn

from vendor.trellis2.attention import CrossAttention, SelfAttention
from vendor.trellis2.rotary import Rotation

TIME_CHANNELS = 256
TIME_PERIOD = 10_000.0
TIME_SCALE = 1000.0
NORM_EPSILON = 1e-6


@dataclass(frozen=True, slots=True, kw_only=True)
class FlowConfig:
    """Sizes of one flow transformer, by the names of the official configuration."""

    resolution: int
    """Edge of its grid: 16 for the coarse structure, 32 or 64 for shape and texture."""
    in_channels: int
    out_channels: int
    model_channels: int
    cond_channels: int
    num_blocks: int
    num_heads: int
    mlp_ratio: float
    rope_freq: tuple[float, float] = (1.0, 10_000.0)


class TimeEmbedding(nn.Module):
    """The time as features: sines and cosines of many periods, then two layers."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.mlp = nn.Sequential(nn.Linear(TIME_CHANNELS, channels), nn.SiLU(), nn.Linear(channels, channels))

    def forward(self, time: float) -> Float32[Tensor, "channels"]:
        """``time`` runs from 1 (noise) to 0 (data)."""
        half = TIME_CHANNELS // 2
        steps = torch.arange(half, dtype=torch.float32, device=next(self.parameters()).device)
        angles = TIME_SCALE * time * torch.exp(steps * (-math.log(TIME_PERIOD) / half))
        features: Tensor = self.mlp(torch.cat((angles.cos(), angles.sin())))
        return features


class FeedForward(nn.Module):
    """Two layers with a GELU between them (its tanh approximation)."""

    def __init__(self, channels: int, hidden: int) -> None:
        super().__init__()
        self.mlp = nn.Sequential(nn.Linear(channels, hidden), nn.GELU(approximate="tanh"), nn.Linear(hidden, channels))
        self.rows: int | None = None
        """Tokens at once, to bound the memory of the wide middle; None takes all."""

    def forward(self, x: Float[Tensor, "tokens channels"]) -> Float[Tensor, "tokens channels"]:
        """Each token by itself."""
        if self.rows is None or len(x) <= self.rows:
            whole: Tensor = self.mlp(x)
            return whole
        return torch.cat([self.mlp(block) for block in x.split(self.rows)])


class FlowBlock(nn.Module):
    """Self-attention and feed-forward, both modulated by the time, and attention to the picture between them."""

    def __init__(self, config: FlowConfig) -> None:
        super().__init__()
        channels = config.model_channels
        self.modulation = nn.Parameter(torch.zeros(6 * channels))
        self.norm2 = nn.LayerNorm(channels, eps=NORM_EPSILON)
        self.self_attn = SelfAttention(channels, config.num_heads)
        self.cross_attn = CrossAttention(channels, config.cond_channels, config.num_heads)
        self.mlp = FeedForward(channels, int(channels * config.mlp_ratio))

    def forward(
        self,
        x: Float[Tensor, "tokens channels"],
        modulation: Float[Tensor, "six_times_channels"],
        context: Float[Tensor, "seen context_channels"] | None,
        rotation: Rotation,
    ) -> Float[Tensor, "tokens channels"]:
        """One round; ``modulation`` is the shared one of this time."""
        own = (self.modulation + modulation).to(modulation.dtype)
        shift_a, scale_a, gate_a, shift_b, scale_b, gate_b = own.chunk(6)
        x = x + gate_a * self.self_attn(_normalised(x) * (1 + scale_a) + shift_a, rotation)
        seen = F.layer_norm(x.float(), x.shape[-1:], self.norm2.weight, self.norm2.bias, NORM_EPSILON)
        x = x + self.cross_attn(seen.to(x.dtype), context)
        return x + gate_b * self.mlp(_normalised(x) * (1 + scale_b) + shift_b)


class FlowTransformer(nn.Module):
    """Predicts the velocity from data towards noise at a place on the way between them."""

    def __init__(self, config: FlowConfig, torso: torch.dtype = torch.float32) -> None:
        super().__init__()
        self.config = config
        self.torso = torso
        channels = config.model_channels
        self.t_embedder = TimeEmbedding(channels)
        self.adaLN_modulation = nn.Sequential(nn.SiLU(), nn.Linear(channels, 6 * channels))
        self.input_layer = nn.Linear(config.in_channels, channels)
        self.blocks = nn.ModuleList(FlowBlock(config) for _ in range(config.num_blocks))
        self.out_layer = nn.Linear(channels, config.out_channels)
        for part in self.blocks.modules():
            if isinstance(part, nn.Linear):
                part.to(torso)

    @property
    def head_channels(self) -> int:
        """Channels of one attention head."""
        return self.config.model_channels // self.config.num_heads

    def forward(
        self,
        x: Float32[Tensor, "tokens in_channels"],
        time: float,
        context: Float[Tensor, "seen context_channels"] | None,
        rotation: Rotation,
    ) -> Float32[Tensor, "tokens out_channels"]:
        """Velocity of each token; ``context`` None means no picture (the guidance's negative)."""
        modulation = self.adaLN_modulation(self.t_embedder(time)).to(self.torso)
        seen = None if context is None else context.to(self.torso)
        hidden = self.input_layer(x).to(self.torso)
        for block in self.blocks:
            hidden = block(hidden, modulation, seen, rotation)
        hidden = F.layer_norm(hidden.float(), hidden.shape[-1:])
        velocity: Tensor = self.out_layer(hidden)
        return velocity

    def compile_blocks(self, backend: str = "inductor") -> None:
        """Compile every block as a whole when it first runs; one compilation serves all blocks and token counts."""
        for block in self.blocks:
            block.compile(dynamic=True, fullgraph=True, backend=backend)

    def limit_rows(self, rows: int | None) -> None:
        """Bound the feed-forward's memory; results do not depend on it."""
        for part in self.modules():
            if isinstance(part, FeedForward):
                part.rows = rows


def _normalised(x: Float[Tensor, "tokens channels"]) -> Float[Tensor, "tokens channels"]:
    return F.layer_norm(x.float(), x.shape[-1:], eps=NORM_EPSILON).to(x.dtype)
