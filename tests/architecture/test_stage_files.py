"""Every stage is one file, one frozen class, and says everything about its fields."""

import ast
import dataclasses
from typing import Annotated, get_args, get_origin, get_type_hints

import pytest

from bridge_server.pipeline.registry import REGISTRY
from bridge_server.stages.stage import Range, Stage, declaration_of
from bridge_server.values.asset import Asset
from tests.architecture.source_files import product_files

STAGE_FILES = {file.path: file for file in product_files() if file.path.startswith("bridge_server/stages/")}


def stage_classes(path: str) -> list[ast.ClassDef]:
    return [
        node
        for node in ast.walk(STAGE_FILES[path].tree)
        if isinstance(node, ast.ClassDef) and any(ast.unparse(base) == "Stage" for base in node.bases)
    ]


@pytest.mark.parametrize("path", STAGE_FILES)
def test_a_file_holds_at_most_one_stage(path):
    found = [node.name for node in stage_classes(path)]
    assert len(found) <= 1, f"{path} holds the stages {found}. Give each a file of its own."


def test_every_stage_is_registered_once():
    written = {
        f"bridge_server.stages.{path.rpartition('/')[2].removesuffix('.py')}:{node.name}"
        for path in STAGE_FILES
        for node in stage_classes(path)
    }
    registered = list(REGISTRY.stages.values())
    assert set(registered) == written, "Enter the stage in pipeline/registry.py, or remove what is gone."
    assert len(registered) == len(set(registered))


@pytest.mark.parametrize("name", REGISTRY.stages)
def test_a_stage_declares_itself(name):
    kind = REGISTRY.stage_class(name)
    slots = {field.name for field in dataclasses.fields(Asset)}
    declared = declaration_of(kind)
    assert issubclass(kind, Stage)
    assert kind.name == name, f"{kind.__name__}.name is {kind.name!r}, but the registry calls it {name!r}."
    assert kind.__doc__, f"{kind.__name__} has no docstring."
    assert kind.version >= 1
    assert kind.__dataclass_params__.frozen, f"{kind.__name__} must be frozen."
    assert "__slots__" in vars(kind), f"{kind.__name__} must be slotted."
    assert all(field.kw_only for field in dataclasses.fields(kind)), f"{kind.__name__} must take keywords only."
    assert {declared.writes, *declared.reads, *declared.optional_reads} <= slots, (
        f"{kind.__name__} names unknown slots."
    )
    assert set(declared.backends) <= set(REGISTRY.kinds), f"{kind.__name__} needs an unknown kind of backend."
    assert kind() == kind(), f"every field of {kind.__name__} needs a default."


@pytest.mark.parametrize("name", REGISTRY.stages)
def test_fields_of_a_stage_have_a_meaning_and_bounds(name):
    kind = REGISTRY.stage_class(name)
    hints = get_type_hints(kind, include_extras=True)
    for field in dataclasses.fields(kind):
        hint = hints[field.name]
        plain = get_args(hint)[0] if get_origin(hint) is Annotated else hint
        if plain in (int, float):
            ranges = [extra for extra in get_args(hint)[1:] if isinstance(extra, Range)]
            assert ranges, f"{kind.__name__}.{field.name} is a number without a Range."
            assert ranges[0].low <= field.default <= ranges[0].high, (
                f"{kind.__name__}.{field.name}: default out of range."
            )
    node = next(node for path in STAGE_FILES for node in stage_classes(path) if node.name == kind.__name__)
    for statement, following in zip(node.body, [*node.body[1:], None], strict=True):
        if isinstance(statement, ast.AnnAssign) and "ClassVar" not in ast.unparse(statement.annotation):
            told = isinstance(following, ast.Expr) and isinstance(following.value, ast.Constant)
            assert told, f"{kind.__name__}.{ast.unparse(statement.target)} has no docstring below it."
