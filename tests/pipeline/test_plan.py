from dataclasses import dataclass, replace
from typing import Annotated, ClassVar

import pytest

from bridge_server.errors import BackendUnavailable, PlanError, PresetError
from bridge_server.pipeline.plan import make_plan
from bridge_server.pipeline.preset import StageSpec
from bridge_server.pipeline.recipe import Recipe
from bridge_server.pipeline.registry import Registry
from bridge_server.run import Run
from bridge_server.stages.stage import Range, Stage
from bridge_server.values.mesh import LowPoly
from bridge_server.values.package import ExportedFiles
from bridge_server.values.placement import Placement
from tests.pipeline.toy import QUALITY, REGISTRY, STAGES, toy_recipe, toy_registry


@dataclass(frozen=True, slots=True, kw_only=True)
class Stranger(Stage):
    """Ask for what does not exist."""

    name: ClassVar[str] = "stranger"
    writes: ClassVar[str] = "soul"
    version: ClassVar[int] = 1

    def __call__(self, run: Run, warp_drive: object, *, low_poly: LowPoly) -> LowPoly:
        return low_poly


@dataclass(frozen=True, slots=True, kw_only=True)
class Driven(Stage):
    """Ask for a kind of backend that does not exist."""

    name: ClassVar[str] = "driven"
    writes: ClassVar[str] = "low_poly"
    version: ClassVar[int] = 1

    def __call__(self, run: Run, warp_drive: object, *, low_poly: LowPoly) -> LowPoly:
        return low_poly


@dataclass(frozen=True, slots=True, kw_only=True)
class ToyExport(Stage):
    """Take a name."""

    name: ClassVar[str] = "export"
    writes: ClassVar[str] = "files"
    version: ClassVar[int] = 1
    asset_name: str = ""

    def __call__(self, run: Run, *, placement: Placement) -> ExportedFiles:
        return ExportedFiles(asset_name=self.asset_name, files=())


@dataclass(frozen=True, slots=True, kw_only=True)
class ToyChecklist(Stage):
    """Take over what other stages were told."""

    name: ClassVar[str] = "checklist"
    writes: ClassVar[str] = "placement"
    version: ClassVar[int] = 1
    height_cm: Annotated[float, Range(0.0, 100.0)] = 0.0

    def __call__(self, run: Run, *, placement: Placement) -> Placement:
        return placement


HERE = "tests.pipeline.test_plan"
WIDE = Registry(
    stages={
        **STAGES,
        "stranger": f"{HERE}:Stranger",
        "driven": f"{HERE}:Driven",
        "export": f"{HERE}:ToyExport",
        "checklist": f"{HERE}:ToyChecklist",
    },
    kinds=REGISTRY.kinds,
)


def with_stages(*names: str) -> Recipe:
    recipe = toy_recipe()
    return replace(recipe, preset=replace(recipe.preset, stages=tuple(StageSpec(stage=name) for name in names)))


def test_photos_and_meshes_take_their_own_road() -> None:
    rest = ("symmetry", "decimate", "place", "bake_ao")
    assert make_plan(toy_recipe(), {"photos"}, registry=REGISTRY).stage_names == ("matte", "generate", *rest)
    assert make_plan(toy_recipe(), {"mesh_source"}, registry=REGISTRY).stage_names == ("load_mesh", *rest)
    bare = with_stages("decimate", "matte", "load_mesh")
    assert make_plan(bare, {"photos"}, registry=REGISTRY).stage_names == ("matte", "generate", "decimate")
    assert make_plan(bare, {"mesh_source"}, registry=REGISTRY).stage_names == ("load_mesh", "decimate")


@pytest.mark.parametrize("inputs", [set(), {"photos", "mesh_source"}, {"low_poly"}, {"photos", "low_poly"}])
def test_other_inputs_are_refused(inputs: set[str]) -> None:
    with pytest.raises(PlanError, match="wants photos or one mesh file"):
        make_plan(toy_recipe(), inputs, registry=REGISTRY)


def test_the_mesh_generator_wants_a_mesh() -> None:
    with pytest.raises(PlanError, match="wants a mesh file, not photos"):
        make_plan(toy_recipe("generator=mesh"), {"photos"}, registry=REGISTRY)
    assert make_plan(toy_recipe("generator=mesh"), {"mesh_source"}, registry=REGISTRY).stage_names[0] == "load_mesh"


def test_quality_and_name_are_filled_in() -> None:
    recipe = toy_recipe("generate.shape_steps=77")
    recipe = replace(recipe, preset=replace(recipe.preset, stages=(*recipe.preset.stages, StageSpec(stage="export"))))
    steps = {step.stage.name: step.stage for step in make_plan(recipe, {"photos"}, registry=WIDE).steps}
    assert steps["generate"].resolution == 64  # type: ignore[attr-defined]
    assert steps["generate"].shape_steps == 77  # type: ignore[attr-defined]
    assert steps["export"].asset_name == "Toy"  # type: ignore[attr-defined]


@pytest.mark.parametrize(("said", "taken"), [({}, 70.0), ({"height_cm": 5.0}, 5.0)])
def test_a_field_left_alone_follows_another_stage(said: dict[str, float], taken: float) -> None:
    recipe = toy_recipe("place.height_cm=70")
    specs = (*recipe.preset.stages, StageSpec(stage="checklist", fields=said))
    recipe = replace(recipe, preset=replace(recipe.preset, stages=specs))
    last = make_plan(recipe, {"photos"}, registry=WIDE).steps[-1].stage
    assert last.height_cm == taken  # type: ignore[attr-defined]


def test_the_name_of_the_job_wins_over_that_of_the_preset() -> None:
    recipe = toy_recipe()
    specs = (*recipe.preset.stages, StageSpec(stage="export", fields={"asset_name": "Old"}))
    recipe = replace(recipe, preset=replace(recipe.preset, stages=specs))
    assert make_plan(recipe, {"photos"}, registry=WIDE).steps[-1].stage.asset_name == "Toy"  # type: ignore[attr-defined]


def test_a_quality_that_the_generator_cannot_take_is_refused() -> None:
    recipe = replace(toy_recipe(), quality=replace(QUALITY, shape_steps=101))
    with pytest.raises(PresetError, match=r"generate\.shape_steps: must lie between 1 and 100, not 101") as caught:
        make_plan(recipe, {"photos"}, registry=REGISTRY)
    assert caught.value.subject == "preset 'toy' with quality 'balanced'"


def test_a_slot_that_nobody_wrote_is_refused_by_name() -> None:
    with pytest.raises(PlanError) as caught:
        make_plan(with_stages("place", "bake_ao", "decimate"), {"photos"}, registry=REGISTRY)
    message = caught.value.message
    assert "place reads low_poly, which no stage before it writes; decimate writes it, but comes later" in message
    assert "bake_ao reads low_poly" in message
    with pytest.raises(PlanError, match=r"place reads low_poly, which no stage before it writes[.]"):
        make_plan(with_stages("place"), {"photos"}, registry=REGISTRY)


def test_slots_and_kinds_that_do_not_exist_are_refused() -> None:
    with pytest.raises(PlanError, match="stranger names the slot 'soul', which does not exist"):
        make_plan(with_stages("decimate", "stranger"), {"photos"}, registry=WIDE)
    with pytest.raises(PlanError, match="unknown kind 'warp_drive'"):
        make_plan(with_stages("decimate", "driven"), {"photos"}, registry=WIDE)


def test_the_first_available_backend_serves() -> None:
    plan = make_plan(toy_recipe(), {"photos"}, registry=REGISTRY)
    chosen = plan.steps[1].backends
    assert [(each.name, each.identity) for each in chosen] == [("toy", "toy 1")]
    assert plan.notices == ()


def test_a_wish_is_granted_without_a_notice() -> None:
    plan = make_plan(toy_recipe("generator=second"), {"photos"}, registry=REGISTRY)
    assert plan.steps[1].backends[0].name == "second"
    assert plan.notices == ()


def test_a_fallback_is_told_with_cause_and_remedy() -> None:
    registry = toy_registry("missing", "gone", "second")
    plan = make_plan(toy_recipe(registry=registry), {"photos"}, registry=registry)
    assert plan.steps[1].backends[0].name == "second"
    (told,) = plan.notices
    assert (told.stage, told.notice.code) == ("generate", "generator_fallback")
    assert told.notice.message == "missing is not available, so second serves as generator: no weights."
    assert told.notice.remedy == "Run forge models pull."


@pytest.mark.parametrize(
    ("wish", "words"),
    [
        ("missing", "no weights."),
        ("nonsense", "unknown name"),
        ("broken", "RuntimeError: no luck"),
        ("refusing", "refuses"),
    ],
)
def test_a_wish_that_cannot_be_granted_is_refused(wish: str, words: str) -> None:
    registry = toy_registry("toy", "missing", "broken", "refusing")
    with pytest.raises(BackendUnavailable) as caught:
        make_plan(toy_recipe(f"generator={wish}", registry=registry), {"photos"}, registry=registry)
    assert words in caught.value.message
    assert "generator" in caught.value.subject


def test_where_nothing_is_available_every_cause_is_told() -> None:
    registry = toy_registry("missing")
    with pytest.raises(BackendUnavailable, match=r"missing: no weights\. Run forge models pull."):
        make_plan(toy_recipe(registry=registry), {"photos"}, registry=registry)


def test_a_road_without_the_stage_never_asks_for_its_backend() -> None:
    registry = toy_registry("missing")
    assert make_plan(toy_recipe(registry=registry), {"mesh_source"}, registry=registry).steps
