"""Render: pictures of the finished low poly with its baked maps."""

import io
from collections.abc import Callable
from dataclasses import dataclass
from typing import Annotated, ClassVar

import numpy as np
from jaxtyping import UInt8
from PIL import Image

from bridge_server.backends.raycaster.base import Raycaster
from bridge_server.run import PartialRun, Run
from bridge_server.stages.camera import turntable_hull
from bridge_server.stages.ground_shadow import floor_openness
from bridge_server.stages.png_writer import encode_png
from bridge_server.stages.render_subject import Subject, clay_subject, field_subject, mapped_subject
from bridge_server.stages.render_view import in_parallel, prepare_view, render_all_rows, render_view
from bridge_server.stages.stage import Range, Stage
from bridge_server.values.mesh import HighPoly, UnwrappedMesh
from bridge_server.values.package import Pictures
from bridge_server.values.placement import Placement
from bridge_server.values.texture import AlbedoMap, NormalMap, PackedMap

THUMBNAIL_PX = 256
FRAME_MS = 100
PANEL_PX = 448

Pixels = UInt8[np.ndarray, "height width 3"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Render(Stage):
    """Photograph the asset as it will stand in the level: a preview, a turntable, a thumbnail, a comparison."""

    name: ClassVar[str] = "render"
    writes: ClassVar[str] = "pictures"
    version: ClassVar[int] = 1

    preview_px: Annotated[int, Range(64, 4096)] = 1024
    """Edge length of the preview."""
    azimuth_deg: Annotated[float, Range(-360.0, 360.0)] = 35.0
    """Where the preview is taken from: 0 is the asset's front, 90 its left side."""
    elevation_deg: Annotated[float, Range(-89.0, 89.0)] = 18.0
    """How far above the horizon the camera stands."""
    turntable_frames: Annotated[int, Range(1, 120)] = 24
    """Pictures in one full turn."""
    turntable_px: Annotated[int, Range(32, 1024)] = 320
    """Edge length of the turntable."""
    supersample: Annotated[int, Range(1, 4)] = 2
    """Samples along each edge of a pixel."""
    comparison: bool = True
    """Also show high poly, triangles and result side by side in the report."""

    def __call__(
        self,
        run: Run,
        raycaster: Raycaster,
        *,
        unwrapped: UnwrappedMesh,
        normal: NormalMap,
        albedo: AlbedoMap,
        packed: PackedMap,
        placement: Placement,
        high_poly: HighPoly | None = None,
    ) -> Pictures:
        """Render all pictures from one ray scene; the comparison needs the high poly."""
        run.checkpoint(0.0, "preparing the studio")
        subject = mapped_subject(raycaster, unwrapped, placement, normal=normal, albedo=albedo, packed=packed)
        preview = self._view(PartialRun(run, 0.05, 0.35), subject, self.preview_px)
        comparison = b""
        if self.comparison and high_poly is not None:
            high = self._view(PartialRun(run, 0.35, 0.46), field_subject(raycaster, high_poly, placement), PANEL_PX)
            clay = self._view(PartialRun(run, 0.46, 0.56), clay_subject(subject), PANEL_PX)
            comparison = encode_png(np.concatenate([high, clay, _resized(preview, PANEL_PX)], axis=1), srgb=True)
        frames = self._turn(PartialRun(run, 0.56, 0.92), subject)
        run.checkpoint(0.92, "encoding")
        return Pictures(
            preview_png=encode_png(preview, srgb=True),
            turntable_webp=encode_turntable(frames),
            thumbnail_png=encode_png(_resized(preview, THUMBNAIL_PX), srgb=True),
            comparison_png=comparison,
        )

    def _view(self, run: Run, subject: Subject, size_px: int) -> Pixels:
        return render_view(
            run,
            subject,
            azimuth_deg=self.azimuth_deg,
            elevation_deg=self.elevation_deg,
            size_px=size_px,
            supersample=self.supersample,
        )

    def _turn(self, run: Run, subject: Subject) -> list[Pixels]:
        hull = turntable_hull(subject.positions_m)
        floor_open = floor_openness(subject, cells=max(48, self.turntable_px // 4), rays=8)

        def frame(number: int) -> Callable[[], Pixels]:
            return lambda: render_all_rows(
                prepare_view(
                    subject,
                    azimuth_deg=self.azimuth_deg + 360.0 * number / self.turntable_frames,
                    elevation_deg=self.elevation_deg,
                    size_px=self.turntable_px,
                    supersample=self.supersample,
                    shadow_rays=1,
                    frame_m=hull,
                    floor_open=floor_open,
                )
            )

        return in_parallel(run, [frame(number) for number in range(self.turntable_frames)], "turntable")


def encode_turntable(frames: list[Pixels]) -> bytes:
    """Animated WebP that loops for ever."""
    buffer = io.BytesIO()
    first, *rest = [Image.fromarray(frame) for frame in frames]
    first.save(
        buffer,
        "WEBP",
        save_all=True,
        append_images=rest,
        duration=FRAME_MS,
        loop=0,
        quality=82,
        method=2,
        lossless=False,
    )
    return buffer.getvalue()


def _resized(pixels: Pixels, size_px: int) -> Pixels:
    return np.asarray(Image.fromarray(pixels).resize((size_px, size_px), Image.Resampling.LANCZOS))
