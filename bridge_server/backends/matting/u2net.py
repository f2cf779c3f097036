"""U-2-Net salient object detection (Qin et al., "U²-Net", Pattern Recognition 2020), run by ONNX Runtime.

The network sees 320 x 320 px. What it answers is brought to the photo's own edges by ``edges.refine_matte``.
Weights are local files; nothing here can fetch them.
"""

import importlib.util
from typing import Any, ClassVar

import numpy as np
from jaxtyping import Float32, UInt8
from PIL import Image

from bridge_server.backends import weights
from bridge_server.backends.matting.edges import refine_matte
from bridge_server.backends.table import Availability
from bridge_server.errors import BackendUnavailable
from bridge_server.run import PartialRun, Run

NETWORK_PX = 320
MEAN = np.array([0.485, 0.456, 0.406], np.float32)
DEVIATION = np.array([0.229, 0.224, 0.225], np.float32)
LEAST_PEAK = 0.5
"""An answer that nowhere exceeds this is not stretched: it says that there is no subject."""


class _U2Net:
    """What both sizes share; the session is made at first use and kept."""

    weights_name: ClassVar[str]

    def __init__(self) -> None:
        self._session: Any = None

    @property
    def identity(self) -> str:
        return f"{self.weights_name} {weights.describe(self.weights_name).sha256[:16]} edges 1"

    @classmethod
    def availability(cls) -> Availability:
        if importlib.util.find_spec("onnxruntime") is None:
            return Availability(available=False, detail="onnxruntime is not installed.", remedy="Run ./forge doctor.")
        try:
            path = weights.locate(cls.weights_name)
        except BackendUnavailable as error:
            return Availability(available=False, detail=error.message, remedy=error.remedy)
        return Availability(available=True, detail=f"{path.name} on the CPU")

    def matte(self, pixels: UInt8[np.ndarray, "height width 3"], run: Run) -> Float32[np.ndarray, "height width"]:
        run.checkpoint(0.0, "finding the subject")
        coarse = self._infer(pixels)
        run.checkpoint(0.4, "following its edges")
        return refine_matte(pixels, coarse, PartialRun(run, 0.4, 1.0))

    def _infer(self, pixels: UInt8[np.ndarray, "height width 3"]) -> Float32[np.ndarray, "320 320"]:
        import onnxruntime

        if self._session is None:
            options = onnxruntime.SessionOptions()
            options.log_severity_level = 3
            path = str(weights.locate(self.weights_name))
            self._session = onnxruntime.InferenceSession(path, options, providers=["CPUExecutionProvider"])
        small = np.asarray(Image.fromarray(pixels).resize((NETWORK_PX, NETWORK_PX), Image.Resampling.BILINEAR))
        scaled = small.astype(np.float32) / max(float(small.max()), 1.0)
        tensor = ((scaled - MEAN) / DEVIATION).transpose(2, 0, 1)[None]
        session = self._session
        first = session.get_outputs()[0].name
        answer = session.run([first], {session.get_inputs()[0].name: tensor})[0][0, 0]
        low, high = float(answer.min()), float(answer.max())
        if high >= LEAST_PEAK:
            answer = (answer - low) / (high - low)
        return np.clip(answer, 0.0, 1.0).astype(np.float32)


class U2NetP(_U2Net):
    """The small network: 4.6 MB, a second an image on two cores."""

    weights_name = "u2netp"


class U2Net(_U2Net):
    """The large network: 176 MB, finer edges, three times slower."""

    weights_name = "u2net"
