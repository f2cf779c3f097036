"""Render: pictures of the finished low poly with its baked maps."""

import functools
import io
from dataclasses import dataclass
from typing import Annotated, ClassVar

import numpy as np
from jaxtyping import UInt8
from PIL import Image

from bridge_server.backends.raycaster.base import Raycaster
from bridge_server.run import PartialRun, Run
from bridge_server.stages.camera import turntable_hull
from bridge_server.stages.ground_shadow import Floor, cast_floor, floor_openness
from bridge_server.stages.png_writer import encode_png
from bridge_server.stages.render_subject import Subject, clay_subject, field_subject, mapped_subject
from bridge_server.stages.render_view import (
    View,
    floor_cells,
    in_parallel,
    prepare_view,
    render_all_rows,
    render_view,
    studio_axes,
)
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
    version: ClassVar[int] = 2

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
    supersample: Annotated[int, Range(1, 4)] = 3
    """Samples along each edge of a pixel that an outline or a crease crosses; the turntable takes 2 at most."""
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
        view = self._view(subject, self.preview_px)
        preview = render_view(PartialRun(run, 0.05, 0.45), view)
        comparison = b""
        if self.comparison and high_poly is not None:
            high = self._view(field_subject(raycaster, high_poly, placement), PANEL_PX, view.floor)
            clay = self._view(clay_subject(subject), PANEL_PX, view.floor)
            panels = [
                render_view(PartialRun(run, 0.45, 0.52), high),
                render_view(PartialRun(run, 0.52, 0.58), clay),
                _resized(preview, PANEL_PX),
            ]
            comparison = encode_png(np.concatenate(panels, axis=1), srgb=True)
        frames = self._turn(PartialRun(run, 0.58, 0.92), subject)
        run.checkpoint(0.92, "encoding")
        return Pictures(
            preview_png=encode_png(preview, srgb=True),
            turntable_webp=encode_turntable(frames),
            thumbnail_png=encode_png(_resized(preview, THUMBNAIL_PX), srgb=True),
            comparison_png=comparison,
        )

    def _view(self, subject: Subject, size_px: int, floor: Floor | None = None) -> View:
        return prepare_view(
            subject,
            azimuth_deg=self.azimuth_deg,
            elevation_deg=self.elevation_deg,
            size_px=size_px,
            supersample=self.supersample,
            floor=floor,
        )

    def _turn(self, run: Run, subject: Subject) -> list[Pixels]:
        hull = turntable_hull(subject.positions_m)
        cells = floor_cells(self.turntable_px)
        openness = floor_openness(subject, cells=cells, rays=12)

        def frame(number: int) -> Pixels:
            azimuth = self.azimuth_deg + 360.0 * number / self.turntable_frames
            return render_all_rows(
                prepare_view(
                    subject,
                    azimuth_deg=azimuth,
                    elevation_deg=self.elevation_deg,
                    size_px=self.turntable_px,
                    supersample=min(self.supersample, 2),
                    frame_m=hull,
                    floor=cast_floor(subject, studio_axes(azimuth), cells=cells, openness=openness),
                )
            )

        frames = [functools.partial(frame, number) for number in range(self.turntable_frames)]
        return in_parallel(run, frames, "turntable")


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
        quality=90,
        method=2,
        lossless=False,
    )
    return buffer.getvalue()


def _resized(pixels: Pixels, size_px: int) -> Pixels:
    return np.asarray(Image.fromarray(pixels).resize((size_px, size_px), Image.Resampling.LANCZOS))
