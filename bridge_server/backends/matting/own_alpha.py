"""No background removal: for photos that all bring a matte of their own, whatever is installed."""

import numpy as np
from jaxtyping import Float32, UInt8

from bridge_server.backends.table import Availability
from bridge_server.errors import BackendUnavailable
from bridge_server.run import Run


class OwnAlpha:
    """Stands where a matting backend has to be named and is never called."""

    @property
    def identity(self) -> str:
        """See ``Matting``."""
        return "own_alpha"

    @classmethod
    def availability(cls) -> Availability:
        """Everywhere: nothing has to be installed."""
        return Availability(available=True, detail="the photos' own alpha channels")

    def matte(self, pixels: UInt8[np.ndarray, "height width 3"], run: Run) -> Float32[np.ndarray, "height width"]:
        """Raises ``BackendUnavailable``: this finds no subject."""
        run.checkpoint(0.0)
        height, width = pixels.shape[:2]
        message = f"the photo of {width} x {height} px has no alpha channel of its own."
        raise BackendUnavailable(message, subject="matting 'own_alpha'", remedy="Run ./forge models pull u2netp.")
