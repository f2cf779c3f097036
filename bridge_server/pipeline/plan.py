"""A plan: the stages in order with the backends that will serve them, checked before any model loads."""

from collections.abc import Collection, Mapping
from dataclasses import dataclass, replace
from typing import Any

from bridge_server.backends.table import Backend, BackendKind
from bridge_server.errors import BackendUnavailable, ForgeError, PlanError
from bridge_server.pipeline.document import refuse
from bridge_server.pipeline.fields import fields_of
from bridge_server.pipeline.preset import StageSpec
from bridge_server.pipeline.recipe import Recipe
from bridge_server.pipeline.record import StageNotice
from bridge_server.pipeline.registry import REGISTRY, Registry, slot_types
from bridge_server.stages.stage import Declaration, Stage, declaration_of
from bridge_server.values.base import Notice

ROADS: Mapping[frozenset[str], tuple[str, ...]] = {
    frozenset({"photos"}): ("matte", "generate"),
    frozenset({"mesh_source"}): ("load_mesh",),
    frozenset({"mesh_source", "low_source"}): ("load_mesh", "load_low"),
}
"""Input slots -> the stages that lead from them to a high poly, and to a low poly that the user brought; the other
roads' stages are left out."""

FOLLOWS: Mapping[tuple[str, str], tuple[str, str]] = {
    ("unwrap", "resolution_px"): ("trace", "resolution_px"),
    ("checklist", "resolution_px"): ("trace", "resolution_px"),
    ("load_low", "resolution_px"): ("bake_maps", "resolution_px"),
    ("checklist", "file_budget_kb"): ("decimate", "file_budget_kb"),
    ("checklist", "lod_count"): ("lods", "count"),
    ("checklist", "height_cm"): ("place", "height_cm"),
}
"""(stage, field) that a preset leaves alone -> the field of another stage whose value it takes over."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ChosenBackend:
    """An implementation that can run here."""

    kind: BackendKind[Any]
    name: str
    identity: str
    """Part of the cache key."""

    def load(self) -> Backend:
        """Construct it; models load when it is first used."""
        loaded: Backend = self.kind.load(self.name)
        return loaded


@dataclass(frozen=True, slots=True, kw_only=True)
class PlannedStage:
    """One step: the stage with its fields filled, and its backends in the order of its call."""

    stage: Stage
    declared: Declaration
    backends: tuple[ChosenBackend, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """Every step reads only what an earlier one wrote or what is an input."""

    steps: tuple[PlannedStage, ...]
    inputs: frozenset[str]
    notices: tuple[StageNotice, ...] = ()

    @property
    def stage_names(self) -> tuple[str, ...]:
        """In order."""
        return tuple(step.stage.name for step in self.steps)


def make_plan(recipe: Recipe, inputs: Collection[str], *, registry: Registry = REGISTRY) -> Plan:
    """Turn a recipe into steps for the input slots given, one of the keys of ``ROADS``.

    Raises ``PlanError`` where the stages do not fit together, ``BackendUnavailable`` with cause and remedy where a
    means is missing.
    """
    road = _road(recipe, inputs)
    bare = _stages(recipe, road, registry)
    stages = [_filled(stage, recipe, {each.name: each for each in bare}) for stage in bare]
    declared = [declaration_of(type(stage)) for stage in stages]
    _check_slots(stages, declared, inputs)
    chosen: dict[str, ChosenBackend] = {}
    notices: list[StageNotice] = []
    for stage, needs in zip(stages, declared, strict=True):
        for kind in needs.backends:
            if kind not in chosen:
                chosen[kind], told = _choose(kind, recipe, stage, registry)
                notices.extend(StageNotice(stage=stage.name, notice=notice) for notice in told)
    return Plan(
        steps=tuple(
            PlannedStage(stage=stage, declared=needs, backends=tuple(chosen[kind] for kind in needs.backends))
            for stage, needs in zip(stages, declared, strict=True)
        ),
        inputs=frozenset(inputs),
        notices=tuple(notices),
    )


def _road(recipe: Recipe, inputs: Collection[str]) -> tuple[str, ...]:
    """The stages of the inputs' road."""
    given = frozenset(inputs)
    subject = f"preset {recipe.preset.name!r}"
    if given not in ROADS:
        listed = ", ".join(sorted(inputs)) or "nothing"
        raise PlanError(f"wants photos or one mesh file, not {listed}.", subject=subject)
    if recipe.preset.generator == "mesh" and "mesh_source" not in given:
        remedy = "Give a GLB, FBX, OBJ, PLY or STL file, or choose another generator."
        raise PlanError("its generator 'mesh' wants a mesh file, not photos.", subject=subject, remedy=remedy)
    return ROADS[given]


def _stages(recipe: Recipe, own: tuple[str, ...], registry: Registry) -> list[Stage]:
    """The road's own stages first, whether the preset lists them or not; then the preset's, without other roads'."""
    of_roads = {stage for stages in ROADS.values() for stage in stages}
    built = [(recipe.preset.spec(name) or StageSpec(stage=name)).build(registry) for name in own]
    return built + [spec.build(registry) for spec in recipe.preset.stages if spec.stage not in of_roads]


def _filled(stage: Stage, recipe: Recipe, others: Mapping[str, Stage]) -> Stage:
    """What the quality, the job and other stages say, laid into the fields that the preset leaves alone."""
    spec = recipe.preset.spec(stage.name)
    wanted: dict[str, Any] = {}
    if stage.name == "generate":
        wanted |= recipe.quality.numbers()
    for (name, field), (source, source_field) in FOLLOWS.items():
        if name == stage.name and source in others:
            wanted[field] = getattr(others[source], source_field)
    said = spec.fields if spec else {}
    known, problems = fields_of(type(stage)), []
    changes = {field: wanted[field] for field in wanted if field in known and field not in said}
    if "asset_name" in known:
        changes["asset_name"] = recipe.asset_name
    for field, content in changes.items():
        try:
            known[field].accept(content)
        except ValueError as error:
            problems.append(f"{stage.name}.{field}: {error}")
    refuse(problems, f"preset {recipe.preset.name!r} with quality {recipe.quality.name!r}")
    return replace(stage, **changes)


def _check_slots(stages: list[Stage], declared: list[Declaration], inputs: Collection[str]) -> None:
    """Raise ``PlanError`` that names every stage that reads what is not there yet."""
    written, problems = set(inputs), []
    writers = {needs.writes: stage.name for stage, needs in zip(stages, declared, strict=True)}
    for stage, needs in zip(stages, declared, strict=True):
        unknown = {*needs.reads, *needs.optional_reads, needs.writes} - set(slot_types())
        problems += [f"{stage.name} names the slot {slot!r}, which does not exist" for slot in sorted(unknown)]
        for slot in needs.reads:
            if slot not in written:
                later = f"; {writers[slot]} writes it, but comes later" if slot in writers else ""
                problems.append(f"{stage.name} reads {slot}, which no stage before it writes{later}")
        written.add(needs.writes)
    if problems:
        raise PlanError("; ".join(problems) + ".", subject="the stages do not fit together")


def _choose(kind_name: str, recipe: Recipe, stage: Stage, registry: Registry) -> tuple[ChosenBackend, list[Notice]]:
    if kind_name not in registry.kinds:
        raise PlanError(f"asks for a backend of the unknown kind {kind_name!r}.", subject=f"stage {stage.name!r}")
    kind = registry.kinds[kind_name]
    preset = recipe.preset
    wish = preset.generator if kind_name == "generator" else preset.backends.get(kind_name, "auto")
    name = kind.choose(wish)
    notices = []
    first = kind.names()[0]
    if wish == "auto" and name != first:
        found = kind.availability(first)
        message = f"{first} is not available, so {name} serves as {kind_name}: {found.detail}"
        notices.append(Notice(code=f"{kind_name}_fallback", message=message, remedy=found.remedy))
    try:
        identity = kind.load(name).identity
    except ForgeError:
        raise
    except Exception as error:
        message = f"cannot be constructed ({type(error).__name__}: {error})."
        remedy = "Run ./forge doctor to see what is missing."
        raise BackendUnavailable(message, subject=f"{kind_name} {name!r}", remedy=remedy) from error
    return ChosenBackend(kind=kind, name=name, identity=identity), notices
