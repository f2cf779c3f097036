"""Attention of the flow transformers: one object at a time, heads normalised before they are compared."""

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor, nn

from vendor.trellis2.rotary import Rotation

SCORE_BYTES = 1 << 30
"""Where the device writes all scores out, this much of them at once."""


class HeadNorm(nn.Module):
    """Root-mean-square normalisation over each head's channels, with gains of its own for every head."""

    def __init__(self, heads: int, channels: int) -> None:
        super().__init__()
        self.gamma = nn.Parameter(torch.ones(heads, channels))

    def forward(self, x: Float[Tensor, "tokens heads channels"]) -> Float[Tensor, "tokens heads channels"]:
        """In float32: x / |x| * sqrt(channels) * gamma."""
        return (F.normalize(x.float(), dim=-1) * (self.gamma * x.shape[-1] ** 0.5)).to(x.dtype)


class SelfAttention(nn.Module):
    """Every token looks at every token; queries and keys are turned by where they lie."""

    def __init__(self, channels: int, heads: int) -> None:
        super().__init__()
        self.heads = heads
        self.to_qkv = nn.Linear(channels, 3 * channels)
        self.q_rms_norm = HeadNorm(heads, channels // heads)
        self.k_rms_norm = HeadNorm(heads, channels // heads)
        self.to_out = nn.Linear(channels, channels)

    def forward(self, x: Float[Tensor, "tokens channels"], rotation: Rotation) -> Float[Tensor, "tokens channels"]:
        """Attention among the tokens of one object."""
        query, key, value = self.to_qkv(x).unflatten(-1, (3, self.heads, -1)).unbind(dim=1)
        query = rotation.turn(self.q_rms_norm(query))
        key = rotation.turn(self.k_rms_norm(key))
        return self.to_out(attend(query, key, value).flatten(1))


class CrossAttention(nn.Module):
    """Every token looks at the tokens of the picture."""

    def __init__(self, channels: int, context_channels: int, heads: int) -> None:
        super().__init__()
        self.heads = heads
        self.to_q = nn.Linear(channels, channels)
        self.to_kv = nn.Linear(context_channels, 2 * channels)
        self.q_rms_norm = HeadNorm(heads, channels // heads)
        self.k_rms_norm = HeadNorm(heads, channels // heads)
        self.to_out = nn.Linear(channels, channels)

    def forward(
        self, x: Float[Tensor, "tokens channels"], context: Float[Tensor, "seen context_channels"] | None
    ) -> Float[Tensor, "tokens channels"]:
        """Attention to the picture; None stands for a picture of zeros.

        Zeros make all keys equal and all values the bias, so that whatever is asked, the answer is the bias. It is
        computed for one token and shared.
        """
        if context is None:
            answer: Tensor = self.to_out(self.to_kv.bias.chunk(2)[1])
            return answer.expand(len(x), -1)
        query = self.q_rms_norm(self.to_q(x).unflatten(-1, (self.heads, -1)))
        key, value = self.to_kv(context).unflatten(-1, (2, self.heads, -1)).unbind(dim=1)
        return self.to_out(attend(query, self.k_rms_norm(key), value).flatten(1))


def attend(
    query: Float[Tensor, "tokens heads channels"],
    key: Float[Tensor, "others heads channels"],
    value: Float[Tensor, "others heads channels"],
    *,
    score_bytes: int | None = None,
) -> Float[Tensor, "tokens heads channels"]:
    """Softmax attention, scaled by 1 / sqrt(channels).

    CUDA and the processor have kernels that never hold all scores. Metal has none, so there queries go in blocks whose
    scores fit into ``score_bytes``.
    """
    if score_bytes is None and query.device.type == "mps":
        score_bytes = SCORE_BYTES
    rows = len(query)
    if score_bytes is not None:
        rows = max(1, score_bytes // (4 * key.shape[0] * key.shape[1]))
    q, k, v = (part.transpose(0, 1).unsqueeze(0) for part in (query, key, value))
    blocks = [F.scaled_dot_product_attention(block, k, v) for block in q.split(rows, dim=2)]
    joined = blocks[0] if len(blocks) == 1 else torch.cat(blocks, dim=2)
    return joined.squeeze(0).transpose(0, 1)
