"""What the flows see of a picture: tokens of DINOv3 ViT-L/16 (Siméoni et al. 2025), read from local files.

All tokens serve (class, registers, patches), normalised without gains after the last block; the model's own final norm
is left out, as upstream does.
"""

from pathlib import Path
from typing import cast

import numpy as np
import torch
import torch.nn.functional as F
from jaxtyping import Float32, UInt8
from PIL import Image
from torch import Tensor, nn

from vendor.trellis2.layout import ENCODER_FILES, LayoutError, read_json

MEAN = (0.485, 0.456, 0.406)
DEVIATION = (0.229, 0.224, 0.225)
OPAQUE = 0.8 * 255
"""Opacity above which a pixel counts when the subject is framed."""


class EmptyPicture(ValueError):
    """A cutout without a subject."""


def framed(cutout: UInt8[np.ndarray, "height width 4"], edge_px: int) -> UInt8[np.ndarray, "edge edge 3"]:
    """The subject centred in a square that it fills, on black, at the encoder's resolution."""
    rows, columns = np.nonzero(cutout[..., 3] > OPAQUE)
    if not len(rows):
        raise EmptyPicture("no pixel is opaque")
    low = np.array([columns.min(), rows.min()])
    high = np.array([columns.max(), rows.max()]) + 1
    edge = int((high - low).max())
    left, top = (int(corner) for corner in np.floor((low + high - edge) / 2))
    alpha = cutout[..., 3:].astype(np.float32) / 255.0
    shown = np.round(cutout[..., :3] * alpha).astype(np.uint8)
    square = Image.fromarray(shown).crop((left, top, left + edge, top + edge))
    return np.asarray(square.resize((edge_px, edge_px), Image.Resampling.LANCZOS))


class ImageEncoder(nn.Module):
    """DINOv3 as transformers has it, without its final norm."""

    def __init__(self, model: nn.Module) -> None:
        super().__init__()
        self.model = model
        self.model.norm = nn.Identity()

    @torch.no_grad()
    def forward(self, picture: UInt8[np.ndarray, "edge edge 3"]) -> Float32[Tensor, "tokens channels"]:
        """Tokens of one square picture whose edge is a multiple of 16."""
        first = next(self.parameters())
        values = torch.from_numpy(picture.astype(np.float32)).to(first.device) / 255.0
        values = (values - values.new_tensor(MEAN)) / values.new_tensor(DEVIATION)
        seen = values.permute(2, 0, 1)[None].to(first.dtype)
        tokens = cast(Tensor, self.model(seen).last_hidden_state)[0].float()
        return F.layer_norm(tokens, tokens.shape[-1:])


def load_encoder(folder: Path, dtype: torch.dtype, device: torch.device) -> ImageEncoder:
    """Read the encoder from its folder. Raises ``LayoutError`` naming the file and every key that does not fit."""
    for name in ENCODER_FILES:
        if not (folder / name).is_file():
            raise LayoutError(folder / name, "is missing.")
    config = folder / ENCODER_FILES[0]
    if read_json(config).get("model_type") != "dinov3_vit":
        raise LayoutError(config, "describes no DINOv3 vision transformer (model_type 'dinov3_vit').")
    from transformers import DINOv3ViTModel
    from transformers.utils import logging

    logging.disable_progress_bar()
    weights = folder / ENCODER_FILES[1]
    try:
        model, told = DINOv3ViTModel.from_pretrained(
            folder, local_files_only=True, output_loading_info=True, ignore_mismatched_sizes=True, dtype=dtype
        )
    except (OSError, ValueError, RuntimeError) as error:
        raise LayoutError(weights, f"cannot be read ({error}).") from error
    kinds = (("missing", "missing_keys"), ("left over", "unexpected_keys"), ("of another shape", "mismatched_keys"))
    problems = [f"{len(told[key])} {kind}: {sorted(map(str, told[key]))[:4]}" for kind, key in kinds if told[key]]
    if problems:
        raise LayoutError(weights, f"does not fit the network: {'; '.join(problems)}.")
    return ImageEncoder(model).requires_grad_(False).eval().to(device)
