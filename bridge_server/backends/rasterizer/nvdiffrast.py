"""UV rasterisation by nvdiffrast on CUDA (Laine et al., "Modular primitives for high-performance differentiable
rendering", 2020).

Its licence allows research and evaluation and no commercial use, so nothing installs it and nothing takes it but by
its name. It is built from its public source, with PyTorch for CUDA and the CUDA compiler on the machine.
"""

import importlib
import importlib.util
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version
from typing import Any

import numpy as np
from jaxtyping import Float32, Int32

from bridge_server.backends.rasterizer.base import cells_by_centers
from bridge_server.backends.table import Availability
from bridge_server.backends.texels.base import Atlas, Cells, Watch
from bridge_server.values.texel_grid import Covered, gathered

LEAST_VERSION = (0, 3, 3)
"""The first whose CUDA rasteriser takes maps larger than 2048 px and of any size."""
LARGEST_PLAIN = 1 << 24
PACKED_FROM = 0x4A800000
"""Numbers of triangles up to the first are stored as floats; greater ones as the float whose bits are the second plus
the number."""
TEXELS_A_STRIP = 1 << 24
"""Rasterised at once, at most: 256 MB of the device's memory, and as much here."""
LICENCE = "non-commercial use only (NVIDIA Source Code License)"
REMEDY = (
    "It is optional. With PyTorch for CUDA and nvcc: pip install --no-build-isolation "
    f"git+https://github.com/NVlabs/nvdiffrast.git; licence: {LICENCE}."
)


@dataclass(frozen=True, slots=True)
class NvdiffrastRasterizer:
    """Covers maps on the first CUDA device. Where charts overlap any of their triangles may have the texel."""

    @property
    def identity(self) -> str:
        """Versions, and the word by which work on a graphics card is known."""
        return f"nvdiffrast {version('nvdiffrast')} cuda torch {version('torch')}"

    @classmethod
    def availability(cls) -> Availability:
        """Whether it is installed, is new enough and finds a device; PyTorch is started only if all else is there."""
        for package in ("torch", "nvdiffrast"):
            if importlib.util.find_spec(package) is None:
                return Availability(available=False, detail=f"{package} is not installed.", remedy=REMEDY)
        try:
            found = version("nvdiffrast")
        except PackageNotFoundError:
            return Availability(available=False, detail="another package is called nvdiffrast.", remedy=REMEDY)
        if _numbers(found) < LEAST_VERSION:
            needed = ".".join(map(str, LEAST_VERSION))
            detail = f"nvdiffrast {found} is too old; {needed} is needed."
            return Availability(available=False, detail=detail, remedy=REMEDY)
        torch: Any = importlib.import_module("torch")
        if not torch.cuda.is_available():
            return Availability(available=False, detail="PyTorch finds no CUDA device.", remedy=REMEDY)
        device = torch.cuda.get_device_name(0)
        return Availability(available=True, detail=f"nvdiffrast {found} on {device}; licence: {LICENCE}")

    def cells(self, atlas: Atlas, watch: Watch) -> Cells:
        """See ``UvRasterizer``."""
        return cells_by_centers(self, atlas, watch)

    def cover(
        self, uvs: Float32[np.ndarray, "vertices 2"], faces: Int32[np.ndarray, "faces 3"], size_px: int, watch: Watch
    ) -> Covered:
        """See ``CenterRasterizer``. Strip by strip, which bounds the memory of the device.

        Clip space runs from -1 to 1 with row 0 at -1, so coordinates from the top left need no turn. The result holds
        the weights of corners 0 and 1, the depth, and the triangle's number counted from 1, or 0 where there is none.
        Only the number is used: weights are computed anew from whole substeps, as for every rasteriser.
        """
        torch: Any = importlib.import_module("torch")
        rasterizing: Any = importlib.import_module("nvdiffrast.torch")
        context = rasterizing.RasterizeCudaContext(device="cuda:0")
        triangles = torch.from_numpy(np.ascontiguousarray(faces)).to("cuda:0")
        places = np.zeros((1, len(uvs), 4), np.float32)
        places[0, :, 0] = uvs[:, 0] * 2.0 - 1.0
        places[0, :, 3] = 1.0
        height = strip_height(size_px)
        strips: list[Covered] = []
        for first in range(0, size_px, height):
            watch(first / size_px)
            places[0, :, 1] = (uvs[:, 1].astype(np.float64) * size_px - first) * (2.0 / height) - 1.0
            positions = torch.from_numpy(places).to("cuda:0")
            image, _ = rasterizing.rasterize(context, positions, triangles, [height, size_px], grad_db=False)
            strips.append(covered_texels(image[0].cpu().numpy()[: size_px - first], first * size_px))
        return gathered(strips)


def strip_height(size_px: int) -> int:
    """Rows of each strip, the last one too, which may reach past the map.

    A power of two scales coordinates without rounding, so a border on texel centres stays there in every strip.
    """
    most = max(TEXELS_A_STRIP // size_px, 1)
    return 1 << min(most.bit_length() - 1, (size_px - 1).bit_length())


def covered_texels(image: Float32[np.ndarray, "rows columns 4"], begins: int) -> Covered:
    """The texels of a rasterised strip that a triangle covers; the first of the strip has the number ``begins``."""
    stored = image[:, :, 3].reshape(-1)
    index = np.flatnonzero(stored > 0.0)
    return Covered(index=(index + begins).astype(np.int32), faces=triangle_numbers(stored[index]))


def triangle_numbers(stored: Float32[np.ndarray, "texels"]) -> Int32[np.ndarray, "texels"]:
    """Numbers counted from 0, from how they are stored, counted from 1."""
    whole = stored.astype(np.int64)
    packed = np.ascontiguousarray(stored).view(np.int32).astype(np.int64) - PACKED_FROM
    return (np.where(whole <= LARGEST_PLAIN, whole, packed) - 1).astype(np.int32)


def _numbers(text: str) -> tuple[int, ...]:
    parts = text.split("+", maxsplit=1)[0].split(".")
    return tuple(int(part) for part in parts[:3] if part.isdigit())
