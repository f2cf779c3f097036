"""Stage 1: remove the background."""

from dataclasses import dataclass
from typing import Annotated, ClassVar

import numpy as np
from jaxtyping import Float32, UInt8

from bridge_server.backends.matting.base import Matting
from bridge_server.errors import StageFailed
from bridge_server.run import PartialRun, Run
from bridge_server.stages.matte_subject import clean_colors, coverage_of, keep_subject, share_of_frame_edge
from bridge_server.stages.stage import Range, Stage
from bridge_server.values.base import Notice
from bridge_server.values.image import Cutout, Cutouts, Photo, Photos

CONFIDENT = 0.6
"""Least mean opacity within the subject."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Matte(Stage):
    """Find the subject of each photo and cut it out with a soft edge; a photo with a matte of its own keeps it."""

    name: ClassVar[str] = "matte"
    writes: ClassVar[str] = "cutouts"
    version: ClassVar[int] = 1

    least_coverage: Annotated[float, Range(0.0, 0.5)] = 0.005
    """Share of the photo that the subject has to fill; less counts as no subject."""

    def __call__(self, run: Run, matting: Matting, *, photos: Photos) -> Cutouts:
        """Raises ``StageFailed`` with reason ``NO_SUBJECT`` where a photo shows none."""
        cutouts, notices = [], []
        count = len(photos.photos)
        for index, photo in enumerate(photos.photos):
            part = PartialRun(run, index / count, (index + 1) / count)
            part.checkpoint(0.0, f"{photo.view}")
            if photo.has_alpha:
                opacity = photo.pixels[..., 3]
                _refuse_empty(photo, opacity.astype(np.float32) / 255.0, self.least_coverage)
            else:
                found = matting.matte(np.ascontiguousarray(photo.pixels[..., :3]), PartialRun(part, 0.0, 0.7))
                part.checkpoint(0.7, "keeping the subject")
                kept, dropped = keep_subject(found)
                _refuse_empty(photo, kept, self.least_coverage)
                if dropped:
                    notices.append(_dropped(photo, dropped))
                opacity = np.round(kept * 255.0).astype(np.uint8)
            notices += _frame_notices(photo, opacity)
            part.checkpoint(0.8, "cleaning its edge colours")
            colors = clean_colors(photo.pixels[..., :3], opacity, only_hidden=photo.has_alpha)
            pixels = np.dstack([colors, opacity])
            cutouts.append(Cutout(pixels=pixels, view=photo.view, name=photo.name))
        run.checkpoint(1.0)
        own = all(photo.has_alpha for photo in photos.photos)
        method = "alpha" if own else matting.identity.split()[0]
        return Cutouts(cutouts=tuple(cutouts), method=method, notices=tuple(notices))


def _refuse_empty(photo: Photo, opacity: Float32[np.ndarray, "height width"], least_coverage: float) -> None:
    covered, confidence = coverage_of(opacity)
    if covered >= least_coverage and covered > 0.0 and confidence >= CONFIDENT:
        return
    if photo.has_alpha:
        message = f"its alpha channel leaves only {covered:.2%} of the picture visible."
        remedy = "Paint the subject opaque, or save the photo without an alpha channel."
    else:
        message = f"no subject stands out from the background (found on {covered:.2%} of the picture)."
        remedy = "Take a photo of one object before a calmer background, or bring an image with an alpha channel."
    raise StageFailed(message, subject=photo.name or str(photo.view), remedy=remedy, reason="NO_SUBJECT")


def _dropped(photo: Photo, share: float) -> Notice:
    return Notice(
        code="matte_parts_dropped",
        message=f"{photo.name}: parts that do not touch the main subject were left out ({share:.0%} of its area).",
        remedy="Bring an image with an alpha channel if they belong to it.",
    )


def _frame_notices(photo: Photo, opacity: UInt8[np.ndarray, "height width"]) -> list[Notice]:
    covered, _ = coverage_of(opacity.astype(np.float32) / 255.0)
    if covered > 0.97:
        message = f"{photo.name}: the subject fills the whole picture, so its outline is that of the picture."
        remedy = "Take the photo from further away, or bring an image with an alpha channel."
        return [Notice(code="subject_fills_frame", message=message, remedy=remedy)]
    cut = share_of_frame_edge(opacity)
    if cut > 0.05:
        message = f"{photo.name}: the picture's edge cuts the subject off ({cut:.0%} of it); the asset ends there."
        return [Notice(code="subject_cut_off", message=message, remedy="Take the photo from further away.")]
    return []
