"""Actors, cameras and render targets, as far as picture taking needs them."""

import struct
import zlib
from pathlib import Path
from typing import Any

from tests.simulated_editor import unreal_module
from tests.simulated_editor.unreal_module import UnrealObject, implements

SELECTED: list[UnrealObject] = []
SHOTS: list[dict[str, Any]] = []
"""Every picture taken: where the camera stood and how it looked."""
ALIVE: list[UnrealObject] = []


def _vector(x: float, y: float, z: float) -> UnrealObject:
    made = unreal_module.MODULE[0].Vector()
    made._values().update({"x": x, "y": y, "z": z})
    return made


@implements("EditorActorSubsystem.get_selected_level_actors")
def get_selected(_self: Any) -> list[UnrealObject]:
    return list(SELECTED)


@implements("Actor.get_actor_bounds")
def get_actor_bounds(self: UnrealObject, _colliding: bool, _children: bool) -> tuple[UnrealObject, UnrealObject]:
    return _vector(*self._center), _vector(*self._half)


@implements("EditorActorSubsystem.spawn_actor_from_class")
def spawn(_self: Any, kind: type, _location: Any, _rotation: Any, transient: bool) -> UnrealObject:
    actor = kind()
    actor._transient = transient
    component = unreal_module.MODULE[0].SceneCaptureComponent2D()
    component._actor = actor
    actor._values()["capture_component2d"] = component
    ALIVE.append(actor)
    return actor


@implements("EditorActorSubsystem.destroy_actor")
def destroy(_self: Any, actor: UnrealObject) -> bool:
    ALIVE.remove(actor)
    return True


@implements("UnrealEditorSubsystem.get_editor_world")
def get_editor_world(_self: Any) -> UnrealObject:
    return unreal_module.MODULE[0].World()


@implements("RenderingLibrary.create_render_target2d")
def create_render_target(_cls: Any, _world: Any, width: int, height: int, *_others: Any) -> UnrealObject:
    target = unreal_module.MODULE[0].TextureRenderTarget2D()
    target._size = (width, height)
    ALIVE.append(target)
    return target


@implements("RenderingLibrary.release_render_target2d")
def release(_cls: Any, target: UnrealObject) -> None:
    ALIVE.remove(target)


@implements("Actor.set_actor_location_and_rotation")
def move(self: UnrealObject, location: UnrealObject, rotation: UnrealObject, _sweep: bool, _teleport: bool) -> None:
    self._stand = (dict(location._values()), dict(rotation._values()))


@implements("SceneCaptureComponent.show_only_actor_components")
def show_only(self: UnrealObject, actor: UnrealObject, _children: bool) -> None:
    self.__dict__.setdefault("_shown", []).append(actor)


@implements("SceneCaptureComponent2D.capture_scene")
def capture_scene(self: UnrealObject) -> None:
    location, rotation = self._actor._stand
    SHOTS.append({"location": location, "yaw": rotation.get("yaw", 0.0), "width": self._read("ortho_width")})


@implements("RenderingLibrary.export_render_target")
def export(_cls: Any, _world: Any, target: UnrealObject, folder: str, name: str) -> None:
    width, height = target._size
    rows = (b"\0" + bytes([90, 60, 30, 255]) * width) * height
    header = struct.pack(">IIBBBBB", width, height, 8, 6, 0, 0, 0)

    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    png = b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(rows, 1)) + chunk(b"IEND", b"")
    Path(folder, name).write_bytes(png)
