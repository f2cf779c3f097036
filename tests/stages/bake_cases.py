"""Pairs of low and high poly whose baked maps have a closed form."""

from dataclasses import dataclass

import numpy as np

from bridge_server.backends.rasterizer.base import RASTERIZERS, UvRasterizer
from bridge_server.backends.raycaster.base import RAYCASTERS, Raycaster
from bridge_server.backends.unwrapper.base import UNWRAPPERS
from bridge_server.run import SilentRun
from bridge_server.stages.trace import Trace
from bridge_server.stages.unwrap import Unwrap
from bridge_server.values.mesh import HighPoly, LowPoly, Mesh, UnwrappedMesh
from bridge_server.values.texture import TexelHits
from tests.shapes import grid_surface, painted


@dataclass(frozen=True)
class Case:
    """What every bake reads."""

    high_poly: HighPoly
    unwrapped: UnwrappedMesh
    texel_hits: TexelHits

    @property
    def slots(self) -> dict[str, object]:
        return {"high_poly": self.high_poly, "unwrapped": self.unwrapped, "texel_hits": self.texel_hits}

    def low_at_texels(self, values: np.ndarray) -> np.ndarray:
        """Vertex values of the low poly at the centre of each texel of the map, where it has exactly one hit there."""
        hits = self.texel_hits
        weights = np.concatenate([1 - hits.low_weights.sum(axis=1, keepdims=True), hits.low_weights], axis=1)
        return np.einsum("tc,tcd->td", weights, values[self.unwrapped.faces[hits.low_face]])


def raycaster() -> Raycaster:
    return RAYCASTERS.load(RAYCASTERS.choose("auto"))


def rasterizer() -> UvRasterizer:
    return RASTERIZERS.load("texels")


def case(
    low: Mesh, high: Mesh | HighPoly, size: int = 256, supersample: int = 1, smooth: bool = True, **fields: float
) -> Case:
    """Unwrap by box projection, trace, and keep what bakes read."""
    angle = 180.0 if smooth else 60.0
    wrapped = Unwrap(resolution_px=size, hard_edge_angle_deg=angle)(
        SilentRun(), UNWRAPPERS.load("planar"), low_poly=low_poly(low)
    )
    high_poly = high if isinstance(high, HighPoly) else painted(high)
    trace = Trace(resolution_px=size, supersample=supersample, **fields)
    hits = trace(SilentRun(), raycaster(), rasterizer(), high_poly=high_poly, unwrapped=wrapped)
    return Case(high_poly=high_poly, unwrapped=wrapped, texel_hits=hits)


def low_poly(mesh: Mesh) -> LowPoly:
    return LowPoly(
        mesh=mesh, target_triangle_count=len(mesh.faces), hausdorff_m=0.0, mean_distance_m=0.0, method="test"
    )


def plane(width: float = 1.0, steps: int = 2) -> Mesh:
    """A square in x and y around the origin that faces +Z."""
    return height_field(lambda x, y: 0.0 * x, steps, width)


def height_field(height: object, steps: int, width: float = 1.0) -> Mesh:
    """z = height(x, y) over a square around the origin."""
    x, y = np.meshgrid(*[np.linspace(-width / 2, width / 2, steps)] * 2, indexing="ij")
    place = np.stack([x, y, height(x, y)], axis=-1)  # type: ignore[operator]
    return grid_surface(steps, steps, place, wrap_rows=False, wrap_columns=False)


def psnr_db(one: np.ndarray, other: np.ndarray) -> float:
    """Peak signal to noise of values from 0 to 1."""
    return float(-10 * np.log10(max(((one - other) ** 2).mean(), 1e-12)))
