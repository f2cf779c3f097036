"""What the outputs of the sparse decoders mean, and the finished asset as arrays."""

from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Float, Float32, Int32
from torch import Tensor
from torch.nn import functional

from vendor.trellis2.dual_grid import DualGrid, extract_mesh
from vendor.trellis2.sparse_decoder import Progress, SparseDecoder
from vendor.trellis2.subdivision import Subdivision
from vendor.trellis2.voxels import SparseTensor, Voxels

VERTEX_MARGIN = 0.5
"""How far a vertex may leave its cell, in cells (upstream's `voxel_margin`)."""


@dataclass(frozen=True, slots=True, kw_only=True)
class DecodedAsset:
    """A surface and its finish in the cube from -0.5 to 0.5, Z up, as upstream's training data stands in it."""

    positions: Float32[np.ndarray, "vertices 3"]
    faces: Int32[np.ndarray, "faces 3"]
    """Neighbours may wind against each other: see `extract_mesh`."""
    coords: Int32[np.ndarray, "cells 3"]
    """Cells of a grid of `resolution` an edge whose lowest corner is (-0.5, -0.5, -0.5); in no order."""
    attributes: Float32[np.ndarray, "cells 6"]
    """Base colour (3, linear light), metallic, roughness, alpha at the centre of each cell, each from 0 to 1."""
    resolution: int


def decode_shape(
    decoder: SparseDecoder, latent: SparseTensor, progress: Progress = lambda _share: None
) -> tuple[DualGrid, list[Subdivision]]:
    """The surface as a dual grid, and the subdivisions that guide the texture's decoder."""
    decoded, subdivisions = decoder(latent, progress=progress)
    return as_dual_grid(decoded), subdivisions


def decode_texture(
    decoder: SparseDecoder,
    latent: SparseTensor,
    subdivisions: list[Subdivision],
    progress: Progress = lambda _share: None,
) -> tuple[Voxels, Float32[Tensor, "cells 6"]]:
    """The finish in the cells of the shape, as `DecodedAsset.attributes` holds it."""
    decoded, _ = decoder(latent, subdivisions, progress)
    return decoded.voxels, as_attributes(decoded.features)


def assemble(grid: DualGrid, voxels: Voxels, attributes: Float32[Tensor, "cells 6"], resolution: int) -> DecodedAsset:
    """Extract the mesh and bring everything to the processor."""
    positions, faces = extract_mesh(grid, resolution)
    return DecodedAsset(
        positions=positions.cpu().numpy(),
        faces=faces.to(torch.int32).cpu().numpy(),
        coords=voxels.coords.cpu().numpy(),
        attributes=attributes.cpu().numpy(),
        resolution=resolution,
    )


def as_dual_grid(decoded: SparseTensor, margin: float = VERTEX_MARGIN) -> DualGrid:
    """Outputs of the shape's decoder: vertex logits (3), logits of crossed edges (3), split weight before softplus."""
    raw = decoded.features.float()
    return DualGrid(
        voxels=decoded.voxels,
        offsets=(1.0 + 2.0 * margin) * torch.sigmoid(raw[:, :3]) - margin,
        crossed=raw[:, 3:6] > 0,
        split_weight=functional.softplus(raw[:, 6]),
    )


def as_attributes(raw: Float[Tensor, "cells 6"]) -> Float32[Tensor, "cells 6"]:
    """Outputs of the texture's decoder, from -1 to 1, with the base colour brought to linear light.

    Upstream trains on the bytes of base colour images as they stand and writes the decoded values into a glTF base
    colour image unchanged, so they are sRGB-encoded. The other channels are linear in both places.
    """
    values = (raw.float() * 0.5 + 0.5).clamp(0.0, 1.0)
    values[:, :3] = linear_from_srgb(values[:, :3])
    return values


def linear_from_srgb(encoded: Float[Tensor, "*values"]) -> Float[Tensor, "*values"]:
    """The transfer function of IEC 61966-2-1."""
    return torch.where(encoded <= 0.04045, encoded / 12.92, ((encoded + 0.055) / 1.055) ** 2.4)
