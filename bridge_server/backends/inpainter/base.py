"""Filling parts of an image that no photo showed."""

from typing import Protocol

import numpy as np
from jaxtyping import Bool, UInt8

from bridge_server.backends.table import BackendKind
from bridge_server.run import Run


class Inpainter(Protocol):
    """Invents plausible pixels."""

    @property
    def identity(self) -> str:
        """Name, version and digests of weights, for the cache key."""

    def fill(
        self, pixels: UInt8[np.ndarray, "height width 3"], missing: Bool[np.ndarray, "height width"], run: Run
    ) -> UInt8[np.ndarray, "height width 3"]:
        """The image with the missing pixels filled; all others unchanged."""


INPAINTERS: BackendKind[Inpainter] = BackendKind(
    name="inpainter",
    table={"classical": "bridge_server.backends.inpainter.classical:ClassicalInpainter"},
    entry_point_group="open3dforge.inpainters",
)
