"""What runs again when something changes: nothing for the same job, else the changed stage and what is downstream."""

from collections.abc import Mapping

import pytest

from bridge_server.pipeline.plan import make_plan
from bridge_server.pipeline.preset_library import default_library
from bridge_server.pipeline.recipe import Recipe
from tests.end_to_end.conftest import Package
from tests.end_to_end.packages import ORDERS
from tests.end_to_end.workplace import Forged, Workplace


def downstream(slot: str, preset: str, *first: str) -> set[str]:
    """The stages named, and all that read what they write, directly or not, as the declarations have it."""
    library = default_library()
    chosen = library.load(preset)
    recipe = Recipe(preset=chosen, quality=library.quality(chosen.quality), asset_name="Any")
    stages: set[str] = set()
    changed: set[str] = set()
    for step in make_plan(recipe, {slot}).steps:
        declared = step.declared
        if step.stage.name in first or changed & {*declared.reads, *declared.optional_reads}:
            stages.add(step.stage.name)
            changed.add(declared.writes)
        else:
            changed.discard(declared.writes)
    return stages


def again(workplace: Workplace, inputs, order: str = "stl", asset: str = "", **changes: object) -> Forged:
    """The order once more, with other settings or another name."""
    files, wish = ORDERS[order].wish(inputs)
    settings = wish["settings"]
    assert isinstance(settings, Mapping)
    return workplace.forge(*files, **{**wish, "name": asset or wish["name"], "settings": {**settings, **changes}})


def test_the_same_job_takes_every_stage_from_the_store(workplace: Workplace, inputs, package: Package) -> None:
    before, after = package("stl"), again(workplace, inputs)
    assert after.fresh == set()
    assert [stage.stage for stage in after.job.stages] == [stage.stage for stage in before.job.stages]
    assert all(stage.cached for stage in after.manifest.provenance.stages)
    for path in before.folder.iterdir():
        if path.suffix in (".glb", ".png", ".webp"):
            assert path.read_bytes() == (after.folder / path.name).read_bytes(), path.name


@pytest.mark.parametrize(
    ("changes", "first"),
    [
        ({"decimate.triangle_count": 700}, ("decimate",)),
        ({"render.azimuth_deg": 80}, ("render",)),
        ({"collision.shape": "capsule"}, ("collision",)),
        ({"export.target": "godot"}, ("export",)),
        ({"place.height_cm": 75, "checklist.height_cm": 75}, ("place", "checklist")),
        ({"asset": "Nut"}, ("export", "checklist")),
    ],
    ids=str,
)
def test_a_change_runs_its_stage_and_what_is_downstream(
    workplace: Workplace, inputs, package: Package, changes: dict[str, object], first: tuple[str, ...]
) -> None:
    package("stl")
    wanted = downstream("mesh_source", "prop_UE5_standard", *first)
    assert again(workplace, inputs, **changes).fresh == wanted


def test_the_declarations_say_what_is_downstream() -> None:
    """The measure itself against what anybody can tell."""
    everything = downstream("mesh_source", "prop_UE5_standard", "load_mesh")
    assert {"repair", "decimate", "bake_ao", "export"} <= everything
    assert downstream("mesh_source", "prop_UE5_standard", "render") == {"render"}
    assert {"load_mesh", "repair", "clean", "symmetry"} == everything - downstream(
        "mesh_source", "prop_UE5_standard", "decimate"
    )


@pytest.mark.slow
def test_a_photo_is_not_cut_out_again_for_another_triangle_count(
    workplace: Workplace, inputs, package: Package
) -> None:
    package("photo with alpha")
    rerun = again(workplace, inputs, "photo with alpha", **{"decimate.triangle_count": 600})
    assert rerun.fresh == downstream("photos", "environment_UE5_background", "decimate")
    assert not rerun.fresh & {"matte", "generate", "repair"}
