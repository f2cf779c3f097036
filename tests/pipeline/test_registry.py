"""The real table: every stage that is declared loads, and says of itself what the others rely on."""

import dataclasses
import inspect
import sys
from collections.abc import Mapping
from typing import Any, get_type_hints

import pytest

from bridge_server.errors import PlanError
from bridge_server.pipeline.fields import fields_of
from bridge_server.pipeline.registry import REGISTRY, slot_types
from bridge_server.run import Run
from bridge_server.stages.stage import Stage, declaration_of

HEAVY = ("warp", "embreex", "pymeshlab", "xatlas", "coacd", "onnxruntime", "manifold3d", "trimesh", "skimage", "torch")

stages = pytest.mark.parametrize("name", REGISTRY.stages)


def hints_of(stage: type[Stage]) -> Mapping[str, Any]:
    return get_type_hints(stage.__call__)


@stages
def test_a_stage_is_what_the_table_says(name: str) -> None:
    stage = REGISTRY.stage_class(name)
    assert issubclass(stage, Stage)
    assert stage.name == name
    assert stage.version >= 1
    assert inspect.getdoc(stage)
    parameters = dataclasses.fields(stage)
    assert stage.__dataclass_params__.frozen  # type: ignore[attr-defined]
    assert all(field.kw_only for field in parameters)


@stages
def test_a_stage_reads_and_writes_slots_of_their_type(name: str) -> None:
    stage = REGISTRY.stage_class(name)
    declared, hints, slots = declaration_of(stage), hints_of(stage), slot_types()
    assert hints["return"] is slots[declared.writes]
    assert next(iter(hints.values())) is Run
    for slot in declared.reads:
        assert hints[slot] is slots[slot]
    for slot in declared.optional_reads:
        assert hints[slot] == slots[slot] | None
    assert set(declared.backends) <= set(REGISTRY.kinds)


@stages
def test_every_setting_of_a_stage_is_explained_and_its_default_fits(name: str) -> None:
    stage = REGISTRY.stage_class(name)
    for field in fields_of(stage).values():
        assert field.doc, f"{name}.{field.name} has no docstring below it"
        default = list(field.default) if isinstance(field.default, tuple) else field.default
        assert field.accept(default) == field.default
        if field.type in ("int", "float"):
            assert field.low is not None, f"{name}.{field.name} has no range"


def test_an_unknown_stage_is_refused_with_the_known_ones() -> None:
    with pytest.raises(PlanError, match="Known: matte, generate"):
        REGISTRY.stage_class("fly")


@pytest.mark.parametrize("kind", REGISTRY.kinds)
def test_every_backend_answers_whether_it_is_available(kind: str) -> None:
    for name in REGISTRY.kinds[kind].names():
        found = REGISTRY.kinds[kind].availability(name)
        assert found.available or (found.detail and found.remedy), f"{kind} {name} gives neither cause nor remedy"


def test_nothing_heavy_is_imported_to_describe_the_stages() -> None:
    import subprocess

    script = "import sys; from bridge_server.pipeline.describe import describe_stages; describe_stages(); "
    script += f"print(*[name for name in {HEAVY} if name in sys.modules])"
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert done.stdout.split() == []
