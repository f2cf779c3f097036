"""Orthographic pictures of the selected actors from the front, back, left and right.

An Unreal actor faces +X, so the front camera stands on its +X side and looks along -X; the actor's own left is -Y.
Only the selected actors are drawn, on black, by their base colour, so that no light of the level is baked into the
new asset. Exported pictures have no dependable alpha: background removal is left to the pipeline.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import unreal

MARGIN = 1.1
"""Width of the picture over the longest side of the selection."""


@dataclass(frozen=True)
class CapturedView:
    """One picture, tagged as the pipeline's ``--view`` takes it."""

    view: str
    path: Path


@dataclass(frozen=True)
class CameraStand:
    """Where a camera stands, as a direction from the centre, and which way it looks."""

    view: str
    direction: tuple[float, float]
    yaw: float


STANDS = (
    CameraStand("front", (1.0, 0.0), 180.0),
    CameraStand("back", (-1.0, 0.0), 0.0),
    CameraStand("left", (0.0, -1.0), 90.0),
    CameraStand("right", (0.0, 1.0), -90.0),
)


def capture_selected(folder: Path, size_px: int = 1024, *, lit: bool = False) -> tuple[CapturedView, ...]:
    """Write four PNGs of the selected actors into ``folder``.

    ``lit`` takes the finished picture with its lighting instead of the base colour. Raises ``ValueError`` where
    nothing with a size is selected.
    """
    actors = list(unreal.get_editor_subsystem(unreal.EditorActorSubsystem).get_selected_level_actors())
    if not actors:
        raise ValueError("Nothing is selected in the level. Select the actors to take pictures of.")
    center, half = bounds_of(actors)
    reach = 2.0 * max(half)
    if reach <= 0.0:
        raise ValueError("The selected actors have no size. Select actors with a mesh.")
    folder.mkdir(parents=True, exist_ok=True)
    views = []
    with camera(actors, reach * MARGIN, size_px, lit=lit) as (actor, component, target):
        for stand in STANDS:
            x, y = stand.direction
            place = unreal.Vector(center[0] + 2.0 * reach * x, center[1] + 2.0 * reach * y, center[2])
            turn = unreal.Rotator(roll=0.0, pitch=0.0, yaw=stand.yaw)
            actor.set_actor_location_and_rotation(place, turn, False, True)
            component.capture_scene()
            name = f"{stand.view}.png"
            unreal.RenderingLibrary.export_render_target(actor, target, str(folder), name)
            views.append(CapturedView(stand.view, folder / name))
    return tuple(views)


def bounds_of(actors: list[unreal.Actor]) -> tuple[tuple[float, float, float], tuple[float, float, float]]:
    """Centre and half size, in centimetres, of the box around all actors."""
    low = [float("inf")] * 3
    high = [float("-inf")] * 3
    for actor in actors:
        origin, extent = actor.get_actor_bounds(False, True)
        for axis, (middle, half) in enumerate(
            zip((origin.x, origin.y, origin.z), (extent.x, extent.y, extent.z), strict=True)
        ):
            low[axis] = min(low[axis], middle - half)
            high[axis] = max(high[axis], middle + half)
    center = tuple((a + b) / 2.0 for a, b in zip(low, high, strict=True))
    half_size = tuple((b - a) / 2.0 for a, b in zip(low, high, strict=True))
    return (center[0], center[1], center[2]), (half_size[0], half_size[1], half_size[2])


@contextmanager
def camera(
    actors: list[unreal.Actor], width_cm: float, size_px: int, *, lit: bool
) -> Iterator[tuple[unreal.SceneCapture2D, unreal.SceneCaptureComponent2D, unreal.TextureRenderTarget2D]]:
    """A capture actor that draws only ``actors``; removed again whatever happens."""
    subsystem = unreal.get_editor_subsystem(unreal.EditorActorSubsystem)
    world = unreal.get_editor_subsystem(unreal.UnrealEditorSubsystem).get_editor_world()
    target = unreal.RenderingLibrary.create_render_target2d(
        world, size_px, size_px, unreal.TextureRenderTargetFormat.RTF_RGBA8_SRGB
    )
    actor = subsystem.spawn_actor_from_class(unreal.SceneCapture2D, unreal.Vector(0.0, 0.0, 0.0), transient=True)
    try:
        component = actor.get_editor_property("capture_component2d")
        source = unreal.SceneCaptureSource.SCS_FINAL_COLOR_LDR if lit else unreal.SceneCaptureSource.SCS_BASE_COLOR
        component.set_editor_property("capture_source", source)
        component.set_editor_property("texture_target", target)
        component.set_editor_property("projection_type", unreal.CameraProjectionMode.ORTHOGRAPHIC)
        component.set_editor_property("ortho_width", width_cm)
        component.set_editor_property("capture_every_frame", False)
        component.set_editor_property("capture_on_movement", False)
        component.set_editor_property(
            "primitive_render_mode", unreal.SceneCapturePrimitiveRenderMode.PRM_USE_SHOW_ONLY_LIST
        )
        for shown in actors:
            component.show_only_actor_components(shown, True)
        yield actor, component, target
    finally:
        subsystem.destroy_actor(actor)
        unreal.RenderingLibrary.release_render_target2d(target)
