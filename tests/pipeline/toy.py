"""A small road of toy stages, quick enough to run hundreds of times, and ways for a stage to misbehave."""

import enum
import os
import signal
import time
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Annotated, ClassVar

import numpy as np

from bridge_server.backends.table import Availability, BackendKind
from bridge_server.errors import BackendUnavailable, InputError
from bridge_server.pipeline.preset import Preset
from bridge_server.pipeline.quality import Quality
from bridge_server.pipeline.recipe import Recipe
from bridge_server.pipeline.registry import Registry
from bridge_server.run import Run
from bridge_server.stages.stage import Range, Stage
from bridge_server.values.base import Notice
from bridge_server.values.image import Cutout, Cutouts, Photo, Photos
from bridge_server.values.mesh import HighPoly, LowPoly, Mesh
from bridge_server.values.placement import Pivot, Placement
from bridge_server.values.source import MeshSource
from bridge_server.values.texture import AoMap
from tests.shapes import box, painted

DEAF = ("hang", "hold the lock")


class Mood(enum.StrEnum):
    CALM = "calm"
    LIVELY = "lively"


@dataclass(frozen=True, slots=True, kw_only=True)
class ToyMatte(Stage):
    """Keep everything."""

    name: ClassVar[str] = "matte"
    writes: ClassVar[str] = "cutouts"
    version: ClassVar[int] = 1

    softness: Annotated[float, Range(0.0, 1.0)] = 0.5
    """How soft the edge is.

    It has a second paragraph.
    """
    mood: Mood = Mood.CALM
    """How it feels."""
    keep: bool = True
    """Whether to keep."""
    tint: Annotated[tuple[float, float, float], Range(0.0, 1.0)] = (1.0, 1.0, 1.0)
    """A colour."""

    def __call__(self, run: Run, *, photos: Photos) -> Cutouts:
        run.checkpoint(0.5, "half")
        cutouts = tuple(Cutout(pixels=photo.pixels, view=photo.view) for photo in photos.photos)
        return Cutouts(cutouts=cutouts, method="toy", notices=(Notice(code="toy", message="Everything was kept."),))


@dataclass(frozen=True, slots=True, kw_only=True)
class ToyGenerate(Stage):
    """Make a box."""

    name: ClassVar[str] = "generate"
    writes: ClassVar[str] = "high_poly"
    version: ClassVar[int] = 1

    resolution: Annotated[int, Range(1, 4096)] = 8
    """Edge."""
    shape_steps: Annotated[int, Range(1, 100)] = 1

    def __call__(self, run: Run, generator: "toy:ToyGenerator", *, cutouts: Cutouts) -> HighPoly:
        return painted(box((generator.size, 1.0, float(self.resolution))))


@dataclass(frozen=True, slots=True, kw_only=True)
class ToyLoadMesh(Stage):
    """Make another box."""

    name: ClassVar[str] = "load_mesh"
    writes: ClassVar[str] = "high_poly"
    version: ClassVar[int] = 1

    def __call__(self, run: Run, *, mesh_source: MeshSource) -> HighPoly:
        return replace(painted(box((2.0, 2.0, 2.0))), notices=(Notice(code="loaded", message="It was loaded."),))


@dataclass(frozen=True, slots=True, kw_only=True)
class ToySymmetry(Stage):
    """Replace the slot that it reads."""

    name: ClassVar[str] = "symmetry"
    writes: ClassVar[str] = "high_poly"
    version: ClassVar[int] = 1

    off: bool = False
    """Hand the value on as it is."""

    def __call__(self, run: Run, *, high_poly: HighPoly) -> HighPoly:
        if self.off:
            return high_poly
        return painted(Mesh(positions_m=high_poly.mesh.positions_m * np.float32(2), faces=high_poly.mesh.faces))


@dataclass(frozen=True, slots=True, kw_only=True)
class ToyDecimate(Stage):
    """Say that it decimated."""

    name: ClassVar[str] = "decimate"
    writes: ClassVar[str] = "low_poly"
    version: ClassVar[int] = 1

    triangle_count: Annotated[int, Range(4, 1_000_000)] = 100
    """How many triangles are wanted."""
    file_budget_kb: Annotated[float, Range(0.0, 1_000.0)] = 0.0
    """Kilobytes that they may take."""

    def __call__(self, run: Run, *, high_poly: HighPoly) -> LowPoly:
        return LowPoly(
            mesh=high_poly.mesh,
            target_triangle_count=self.triangle_count,
            hausdorff_m=float("inf"),
            mean_distance_m=0.0,
            method="toy",
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class ToyPlace(Stage):
    """Read something that need not be there."""

    name: ClassVar[str] = "place"
    writes: ClassVar[str] = "placement"
    version: ClassVar[int] = 1

    height_cm: Annotated[float, Range(0.0, 10000.0)] = 0.0

    def __call__(self, run: Run, *, low_poly: LowPoly, cutouts: Cutouts | None = None) -> Placement:
        scale = 1.0 if cutouts is None else 2.0
        return Placement(
            scale=scale, translation_m=(0.0, 0.0, 0.0), pivot=Pivot.BOTTOM_CENTER, height_cm=self.height_cm
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class ToyBakeAo(Stage):
    """Misbehave on request; writes a map of ``size`` texels an edge, every one ``level``."""

    name: ClassVar[str] = "bake_ao"
    writes: ClassVar[str] = "ao"
    version: ClassVar[int] = 1

    conduct: str = ""
    folder: str = ""
    """Where it leaves traces: a file for each call."""
    seconds: float = 0.0
    size: int = 8
    level: int = 7

    def __call__(self, run: Run, *, low_poly: LowPoly) -> AoMap:
        calls = self._leave_trace()
        match self.conduct:
            case "input error":
                raise InputError("is bad.", subject="cup.png", remedy="Mend it.", reason="VERY_BAD")
            case "bug":
                raise ZeroDivisionError("one over nothing")
            case "wrong type":
                return low_poly  # type: ignore[return-value]
            case "out of memory":
                raise MemoryError
            case "hang":
                time.sleep(self.seconds)
            case "hold the lock":
                import ctypes

                ctypes.PyDLL(None).sleep(int(self.seconds))  # native code that keeps Python's lock
            case "exit":
                os._exit(3)
            case "exit once" if calls == 1:
                os._exit(3)
            case "sigkill once" if calls == 1:
                os.kill(os.getpid(), signal.SIGKILL)
            case "segfault":
                import ctypes

                ctypes.string_at(0)
            case "chatter":
                os.write(1, b"noise on standard output\n" * 10_000)
                print("more of it", flush=True)
            case "spawn":
                import subprocess
                import sys

                from bridge_server.backends.isolation import call_isolated

                subprocess.run([sys.executable, "-c", "pass"], check=True)
                call_isolated("tests.pipeline.toy:sleep_and_tell", self.folder, run=run, time_limit_s=60.0)
        steps = max(1, int(self.seconds / 0.02)) if self.conduct not in DEAF else 1
        for step in range(steps):
            run.checkpoint(step / steps, f"step {step}")
            if self.seconds and self.conduct not in DEAF:
                time.sleep(0.02)
        return AoMap(pixels=np.full((self.size, self.size), self.level, np.uint8))

    def _leave_trace(self) -> int:
        if not self.folder:
            return 0
        calls = len(list(Path(self.folder).glob("call-*"))) + 1
        leave(self.folder, f"call-{calls}")
        return calls


def leave(folder: str, name: str) -> None:
    """Write the number of this process, so that a reader sees all of it or nothing."""
    partial = Path(folder, f"writing-{os.getpid()}")
    partial.write_text(str(os.getpid()))
    partial.replace(Path(folder, name))


def sleep_and_tell(folder: str) -> None:
    """Runs in an isolated child of a worker."""
    leave(folder, "child")
    time.sleep(30)


class ToyGenerator:
    """The preferred generator."""

    size = 1.0
    identity = "toy 1"

    @classmethod
    def availability(cls) -> Availability:
        return Availability(available=True, detail="here")


class SecondGenerator(ToyGenerator):
    size = 3.0
    identity = "second 1"


class MissingGenerator(ToyGenerator):
    def __init__(self) -> None:
        raise AssertionError("constructed although it is not available")

    @classmethod
    def availability(cls) -> Availability:
        return Availability(available=False, detail="no weights.", remedy="Run forge models pull.")


class BrokenGenerator(ToyGenerator):
    def __init__(self) -> None:
        raise RuntimeError("no luck")


class RefusingGenerator(ToyGenerator):
    def __init__(self) -> None:
        raise BackendUnavailable("refuses.", subject="generator")


def generators(*names: str) -> BackendKind[ToyGenerator]:
    classes = {
        "toy": "toy:ToyGenerator",
        "second": "toy:SecondGenerator",
        "missing": "toy:MissingGenerator",
        "broken": "toy:BrokenGenerator",
        "refusing": "toy:RefusingGenerator",
        "gone": "no_such_module:Nothing",
    }
    table = {name: f"tests.pipeline.{classes[name]}" for name in names}
    return BackendKind(name="generator", table=table, entry_point_group="open3dforge.toys")


STAGES = {
    "matte": "tests.pipeline.toy:ToyMatte",
    "generate": "tests.pipeline.toy:ToyGenerate",
    "load_mesh": "tests.pipeline.toy:ToyLoadMesh",
    "symmetry": "tests.pipeline.toy:ToySymmetry",
    "decimate": "tests.pipeline.toy:ToyDecimate",
    "place": "tests.pipeline.toy:ToyPlace",
    "bake_ao": "tests.pipeline.toy:ToyBakeAo",
}


def toy_registry(*backends: str) -> Registry:
    kind = generators(*(backends or ("toy", "second", "missing")))
    mattings = BackendKind(name="matting", table={}, entry_point_group="open3dforge.toys")
    return Registry(stages=STAGES, kinds={"generator": kind, "matting": mattings})


REGISTRY = toy_registry()

DOCUMENT = """{
  "schema": "open3dforge.preset.v1",
  "name": "toy",
  "description": "A toy.",
  "asset_type": "static_mesh",
  "quality": "balanced",
  "generator": "auto",
  "nanite": false,
  "backends": {},
  "stages": [
    {"stage": "matte"},
    {"stage": "generate"},
    {"stage": "symmetry"},
    {"stage": "decimate", "triangle_count": 50},
    {"stage": "place"},
    {"stage": "bake_ao"}
  ]
}
"""

QUALITY = Quality(name="balanced", resolution=64, sparse_structure_steps=2, shape_steps=3, texture_steps=4)


def toy_recipe(*overrides: str, registry: Registry = REGISTRY) -> Recipe:
    preset = Preset.from_json(DOCUMENT, registry=registry).with_overrides(overrides, registry=registry)
    return Recipe(preset=preset, quality=QUALITY, asset_name="Toy")


def toy_photos(level: int = 0) -> Photos:
    return Photos(photos=(Photo(pixels=np.full((4, 4, 4), level, np.uint8), name="toy.png"),))
