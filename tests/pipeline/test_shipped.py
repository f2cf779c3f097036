"""The presets and qualities that are shipped, held against the table of the product."""

from dataclasses import dataclass, replace
from pathlib import Path

import pytest

from bridge_server.backends.table import Availability, BackendKind
from bridge_server.pipeline.plan import Plan, make_plan
from bridge_server.pipeline.preset_library import PresetLibrary, default_library
from bridge_server.pipeline.recipe import Recipe
from bridge_server.pipeline.registry import REGISTRY

ANY_BACKEND = replace(
    REGISTRY,
    kinds={
        kind: BackendKind(name=kind, table={"any": f"{__name__}:AnyBackend"}, entry_point_group="open3dforge.none")
        for kind in REGISTRY.kinds
    },
)
ON_REQUEST = ("remesh",)
"""Stages that no shipped preset lists."""
ELSEWHERE = ("matte", "generate", "load_mesh", "load_low", "bake_maps", *ON_REQUEST)
MESH_ROAD = ("load_mesh", *(name for name in REGISTRY.stages if name not in ELSEWHERE))
PHOTO_ROAD = ("matte", "generate", *MESH_ROAD[1:])


class AnyBackend:
    """Stands for whatever is installed."""

    identity = "any"

    @classmethod
    def availability(cls) -> Availability:
        return Availability(available=True)


@dataclass(frozen=True)
class Row:
    asset_type: str
    quality: str
    triangles: int
    maps_px: int
    lods: int
    rig: str
    height_cm: float = 0.0
    fallback_height_cm: float = 0.0
    hulls: int = 0


ROWS = {
    "character_UE5_hero": Row("skeletal_mesh", "hero", 60_000, 4096, 4, "biped", height_cm=180.0),
    "character_UE5_npc": Row("skeletal_mesh", "balanced", 20_000, 2048, 3, "biped", height_cm=180.0),
    "prop_UE5_hero": Row("static_mesh", "hero", 30_000, 4096, 4, "", fallback_height_cm=100.0, hulls=16),
    "prop_UE5_standard": Row("static_mesh", "balanced", 10_000, 1024, 3, "", fallback_height_cm=50.0, hulls=8),
    "environment_UE5_background": Row("static_mesh", "fast", 3_000, 512, 2, "", fallback_height_cm=300.0, hulls=1),
}
STEPS = {"fast": (512, 8), "balanced": (1024, 12), "hero": (1536, 16)}


@pytest.fixture(scope="module")
def library(tmp_path_factory: pytest.TempPathFactory) -> PresetLibrary:
    return replace(default_library(), user=tmp_path_factory.mktemp("user"))


def plan_of(library: PresetLibrary, name: str, slot: str = "photos", overrides: tuple[str, ...] = ()) -> Plan:
    preset = library.load(name).with_overrides(overrides)
    recipe = Recipe(preset=preset, quality=library.quality(preset.quality), asset_name="Cup")
    return make_plan(recipe, {slot}, registry=ANY_BACKEND)


def test_exactly_these_are_shipped(library: PresetLibrary) -> None:
    assert set(library.names()) == set(ROWS)
    assert set(library.quality_names()) == set(STEPS)
    assert all(entry.preset for entry in library.entries()), [entry.problem for entry in library.entries()]


@pytest.mark.parametrize("name", STEPS)
def test_a_quality_says_what_the_product_says(library: PresetLibrary, name: str) -> None:
    quality = library.quality(name)
    resolution, steps = STEPS[name]
    assert quality.numbers() == {
        "resolution": resolution,
        "sparse_structure_steps": steps,
        "shape_steps": steps,
        "texture_steps": steps,
    }


@pytest.mark.parametrize("name", ROWS)
def test_a_preset_says_what_the_product_says(library: PresetLibrary, name: str) -> None:
    row, preset = ROWS[name], library.load(name)
    assert (preset.asset_type, preset.quality) == (row.asset_type, row.quality)
    assert preset.description
    stages = {step.stage.name: step.stage for step in plan_of(library, name).steps}
    assert stages["decimate"].triangle_count == row.triangles  # type: ignore[attr-defined]
    assert stages["decimate"].quality == "final"  # type: ignore[attr-defined]
    assert stages["trace"].resolution_px == row.maps_px  # type: ignore[attr-defined]
    assert stages["unwrap"].resolution_px == row.maps_px  # type: ignore[attr-defined]
    assert stages["lods"].count == row.lods  # type: ignore[attr-defined]
    assert stages["checklist"].rig_wanted == row.rig  # type: ignore[attr-defined]
    assert stages["checklist"].lod_count == row.lods  # type: ignore[attr-defined]
    assert stages["place"].height_cm == row.height_cm  # type: ignore[attr-defined]
    assert stages["generate"].resolution == STEPS[row.quality][0]  # type: ignore[attr-defined]
    assert stages["export"].asset_name == "Cup"  # type: ignore[attr-defined]
    if row.hulls:
        assert stages["collision"].max_pieces == row.hulls  # type: ignore[attr-defined]
        assert stages["place"].fallback_height_cm == row.fallback_height_cm  # type: ignore[attr-defined]


@pytest.mark.parametrize("name", ROWS)
def test_a_preset_can_be_planned_for_photos_and_for_a_mesh(library: PresetLibrary, name: str) -> None:
    assert plan_of(library, name).stage_names == PHOTO_ROAD
    assert plan_of(library, name, "mesh_source").stage_names == MESH_ROAD


def test_maps_of_another_size_take_one_setting(library: PresetLibrary) -> None:
    plan = plan_of(library, "prop_UE5_standard", overrides=("trace.resolution_px=512",))
    sizes = {step.stage.name: getattr(step.stage, "resolution_px", None) for step in plan.steps}
    assert {size for size in sizes.values() if size} == {512}
    assert sizes["unwrap"] == 512


def test_a_file_budget_of_decimation_is_checked_at_the_end(library: PresetLibrary) -> None:
    plan = plan_of(library, "prop_UE5_standard", overrides=("decimate.file_budget_kb=500",))
    (checklist,) = (step.stage for step in plan.steps if step.stage.name == "checklist")
    assert checklist.file_budget_kb == 500.0  # type: ignore[attr-defined]


def test_a_shipped_preset_saved_under_another_name_stays_the_same(library: PresetLibrary) -> None:
    preset = library.load("prop_UE5_standard")
    copy = replace(preset, name="mine")
    path = library.save(copy)
    assert library.load("mine") == copy
    library.delete("mine")
    assert not Path(path).exists()
