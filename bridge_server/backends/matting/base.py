"""Background removal: which pixels are the subject."""

from typing import Protocol

import numpy as np
from jaxtyping import Float32, UInt8

from bridge_server.backends.table import BackendKind
from bridge_server.run import Run


class Matting(Protocol):
    """Finds the subject of a photo."""

    @property
    def identity(self) -> str:
        """Name and digest of the weights, for the cache key."""

    def matte(self, pixels: UInt8[np.ndarray, "height width 3"], run: Run) -> Float32[np.ndarray, "height width"]:
        """Opacity of the subject, 0 to 1, soft at the edges, at the resolution of the input."""


MATTINGS: BackendKind[Matting] = BackendKind(
    name="matting",
    table={
        "u2netp": "bridge_server.backends.matting.u2net:U2NetP",
        "u2net": "bridge_server.backends.matting.u2net:U2Net",
    },
    entry_point_group="open3dforge.mattings",
)

OWN_ALPHA: BackendKind[Matting] = BackendKind(
    name="matting",
    table={"own_alpha": "bridge_server.backends.matting.own_alpha:OwnAlpha"},
    entry_point_group="open3dforge.own_alpha",
)
"""Takes the place of ``MATTINGS`` where every photo brings its own matte, so that no weights are asked for."""
