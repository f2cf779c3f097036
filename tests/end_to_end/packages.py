"""The packages that the tests look at: what was ordered, and what has to come of it."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from tests.end_to_end import input_files
from tests.end_to_end.workplace import SMALL

EXAMPLES = Path(__file__).resolve().parents[2] / "examples"


@dataclass(frozen=True, kw_only=True)
class Order:
    """One job and its known outcome."""

    file: Callable[[Path], Path] | None = None
    views: Mapping[str, Path] = field(default_factory=dict)
    preset: str = "prop_UE5_standard"
    name: str
    settings: Mapping[str, object] = field(default_factory=dict)
    weights: bool = False
    """A photo without an alpha channel."""
    target: str = "ue5"
    height_cm: float
    generator: str = "mesh"
    inputs: tuple[str, ...]
    lods: int = 3

    def wish(self, folder: Path) -> tuple[tuple[Path, ...], dict[str, object]]:
        """Files and keywords for ``Workplace.forge``."""
        files = (self.file(folder),) if self.file else ()
        settings = {**SMALL, **self.settings, "export.target": self.target}
        return files, {"views": self.views, "preset": self.preset, "name": self.name, "settings": settings}


SIDES = {side: EXAMPLES / "toy_robot" / f"{side}.png" for side in ("front", "back", "left", "right")}
ORDERS = {
    "photo": Order(
        file=lambda _: EXAMPLES / "coffee" / "coffee.png",
        name="CoffeeCup",
        weights=True,
        height_cm=50.0,
        generator="embedded",
        inputs=("coffee.png",),
    ),
    "photo with alpha": Order(
        file=input_files.vase_photo,
        preset="environment_UE5_background",
        name="Vase",
        height_cm=300.0,
        generator="embedded",
        inputs=("vase.png",),
        lods=2,
    ),
    "four views": Order(
        views=SIDES,
        name="Robot",
        weights=True,
        target="blender",
        settings={"place.height_cm": 42},
        height_cm=42.0,
        generator="embedded",
        inputs=("front.png", "back.png", "left.png", "right.png"),
    ),
    "glb": Order(
        file=lambda _: EXAMPLES / "fox" / "fox.glb",
        preset="character_UE5_npc",
        name="Fox",
        settings={"decimate.triangle_count": 500},
        height_cm=180.0,
        inputs=("fox.glb",),
    ),
    "obj": Order(
        file=input_files.textured_obj,
        name="Globe",
        target="web",
        height_cm=100.0,
        inputs=("globe.obj", "globe.mtl", "globe.png"),
    ),
    "ply": Order(file=input_files.colored_ply, name="Ring", target="godot", height_cm=136.0, inputs=("red ring.ply",)),
    "stl": Order(
        file=input_files.binary_stl,
        name="Peanut",
        target="unity_hdrp",
        settings={"collision.max_pieces": 1},
        height_cm=120.0,
        inputs=("peanut.stl",),
    ),
}
