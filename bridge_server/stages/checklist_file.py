"""Rules about a mesh file as it came: what could be read, how large it is, where it lies, what it is called."""

from collections.abc import Sequence
from pathlib import PurePosixPath

import numpy as np
from jaxtyping import Float64

from bridge_server.errors import InputError
from bridge_server.stages.checklist_verdicts import counted, judged, passed, skipped
from bridge_server.values.base import Notice, Severity
from bridge_server.values.checklist import Check, Verdict
from bridge_server.values.naming import check_asset_name, suggest_asset_name
from bridge_server.values.space import CENTIMETRES_PER_METRE
from bridge_server.values.surface_texture import MaterialTextures

Corner = Float64[np.ndarray, "3"]
"""A corner of the bounds, where the file has it."""
MANY_TRIANGLES = 500_000
LARGEST_TEXTURE_PX = 8192
MOST_MATERIALS = 4
MANY_CHARTS_SHARE = 0.05
LARGE_BYTES = 100_000_000
SMALLEST_CM, LARGEST_CM = 1.0, 10_000.0


def reading(notices: Sequence[Notice]) -> Check:
    """Everything in the file could be read."""
    losses = [notice for notice in notices if notice.severity is not Severity.INFO]
    return judged(
        "reading",
        "All of the file can be used",
        ok=not losses,
        figure=losses[0].message if losses else "nothing left out",
        limit="nothing left out",
        remedy=losses[0].remedy if losses and losses[0].remedy else "Export it again from your 3D program.",
        otherwise=Verdict.WARN,
    )


def triangles(count: int, budget: int) -> Check:
    """Few enough for the budget, or for any engine without Nanite."""
    limit = budget or MANY_TRIANGLES
    return judged(
        "triangle_budget",
        "Triangles",
        ok=count <= limit,
        figure=counted(count, "triangle"),
        limit=f"at most {limit:,}",
        remedy=f"./forge submit with decimate.triangle_count={limit}, or import it with Nanite.",
        otherwise=Verdict.FAIL if budget else Verdict.WARN,
    )


def charts(count: int, faces: int) -> Check:
    """Many small charts cost seams, vertices and padding."""
    most = max(16, int(MANY_CHARTS_SHARE * faces))
    return judged(
        "chart_count",
        "UV charts",
        ok=count <= most,
        figure=counted(count, "chart"),
        limit=f"at most {most:,} for {faces:,} triangles",
        remedy="Unwrap it anew: ./forge submit does.",
        otherwise=Verdict.WARN,
    )


def textures(materials: Sequence[MaterialTextures]) -> tuple[Check, ...]:
    """Sizes are powers of two, and not larger than engines take."""
    images = [
        image.pixels.shape[:2]
        for material in materials
        for image in (material.base_color_image, material.metallic_roughness_image, material.emissive_image)
        if image is not None
    ]
    if not images:
        return (skipped("texture_resolution", "Texture size", "no texture could be read"),)
    odd = [f"{width} x {height}" for height, width in images if width & (width - 1) or height & (height - 1)]
    largest = max(max(size) for size in images)
    sizes = ", ".join(dict.fromkeys(f"{width} x {height}" for height, width in images[:6]))
    return (
        judged(
            "texture_resolution",
            "Texture sizes are powers of two",
            ok=not odd,
            figure=f"{', '.join(odd[:3])} px" if odd else f"{sizes} px",
            limit="powers of two",
            remedy="Scale them; other sizes have no mips and cannot be streamed.",
            otherwise=Verdict.WARN,
        ),
        judged(
            "texture_largest",
            "Textures are not too large",
            ok=largest <= LARGEST_TEXTURE_PX,
            figure=f"{largest:,} px",
            limit=f"at most {LARGEST_TEXTURE_PX:,} px",
            remedy="Scale it down; Unreal would cut it at import.",
            otherwise=Verdict.WARN,
        ),
    )


def material_slots(count: int) -> Check:
    """Each slot is a draw call."""
    return judged(
        "material_count",
        "Materials",
        ok=count <= MOST_MATERIALS,
        figure=counted(count, "material"),
        limit=f"at most {MOST_MATERIALS}",
        remedy="./forge submit bakes all of them into one.",
        otherwise=Verdict.WARN,
    )


def extent(low_m: Corner, high_m: Corner) -> Check:
    """Neither dust nor a mountain: the unit of the file is right."""
    sides_cm = (high_m - low_m) * CENTIMETRES_PER_METRE
    longest = float(sides_cm.max())
    return judged(
        "extent",
        "Size is plausible",
        ok=SMALLEST_CM <= longest <= LARGEST_CM,
        figure=" x ".join(f"{side:.4g}" for side in sides_cm) + " cm",
        limit=f"longest side {SMALLEST_CM:g} to {LARGEST_CM:,.0f} cm",
        remedy="Export it in metres, or set place.height_cm.",
        otherwise=Verdict.WARN,
    )


def origin(low_m: Corner, high_m: Corner) -> Check:
    """The origin lies in or near the mesh, so that it turns and lands where one expects."""
    away = float(np.linalg.norm(np.maximum(np.maximum(low_m, -high_m), 0.0)))
    return judged(
        "pivot",
        "Pivot",
        ok=away <= 0.1 * float(np.linalg.norm(high_m - low_m)),
        figure="inside the bounds" if away <= 0.0 else f"{away * CENTIMETRES_PER_METRE:.4g} cm outside the bounds",
        limit="at most a tenth of the size outside",
        remedy="Set place.pivot to bottom_center.",
        otherwise=Verdict.WARN,
    )


def file_name(name: str) -> Check:
    """The name works in Unreal paths and as a file on every system."""
    rule, title, limit = "naming", "File name", "letters, digits and _"
    stem = PurePosixPath(name.replace("\\", "/")).stem
    try:
        check_asset_name(stem)
    except InputError as error:
        remedy = f"Call it {suggest_asset_name(stem)}."
        figure = f"{stem[:64]!a} {error.message}"
        return judged(rule, title, ok=False, figure=figure, limit=limit, remedy=remedy, otherwise=Verdict.WARN)
    return passed(rule, title, stem, limit)


def file_size(size_bytes: int) -> Check:
    """Small enough for version control and quick imports."""
    return judged(
        "file_size",
        "File size",
        ok=size_bytes <= LARGE_BYTES,
        figure=f"{size_bytes / 1e6:.3g} MB",
        limit=f"at most {LARGE_BYTES / 1e6:.0f} MB",
        remedy="Reduce triangles and textures, or store it with Git LFS.",
        otherwise=Verdict.WARN,
    )
