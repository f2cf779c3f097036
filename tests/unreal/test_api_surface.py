"""Every ``unreal`` name that the product uses is held against the API surfaces of 5.4, 5.5 and 5.6."""

import ast
import json
from pathlib import Path

import pytest

from tests.simulated_editor.process import ROOT
from tests.simulated_editor.signatures import parse
from tests.unreal.conftest import VERSIONS

SOURCES = sorted([*(ROOT / "unreal_scripts").rglob("*.py"), *(ROOT / "ue_plugin").rglob("*.py")])
SURFACES = {
    version: json.loads((ROOT / "tests" / "simulated_editor" / "surface" / f"{version}.json").read_text("utf-8"))
    for version in VERSIONS
}
GUARDED = {
    # name: (versions that have it, how the product guards the use)
    "InterchangeMeshCollision": (("5.5", "5.6"), "getattr with a default in asset_import/interchange.py"),
    "EditorUtilityLibrary.add_source_widget": (("5.6",), "hasattr in open3dforge_editor/panel.py; a dialog before 5.6"),
    "EditorUtilityWidget.find_child_widget_by_name": (("5.6",), "only reached where add_source_widget is there"),
}
"""Each use that not every version has, and how it is guarded."""
OPTIONAL_PROPERTIES = {
    "asset_type_sub_folders": ("5.6",),
    "auto_compute_lod_screen_sizes": ("5.5", "5.6"),
    "collision": ("5.5", "5.6"),
    "fallback_collision_type": ("5.5", "5.6"),
    "force_collision_primitive_generation": ("5.6",),
    "scene_name_sub_folder": ("5.6",),
}
"""Properties that only some versions have; all are set through ``set_if_exists``."""
PYTHON_ONLY = {"execute", "is_visible", "can_execute"}


def chain(surface, name):
    """A class and its bases."""
    while name in surface["classes"]:
        yield surface["classes"][name]
        name = surface["classes"][name].get("base") or ""


def has_member(surface, owner, member):
    return any(
        member in entry.get("methods", {}) or member in entry.get("props", {}) or member in (entry.get("enum") or ())
        for entry in chain(surface, owner)
    )


@pytest.mark.parametrize("version", VERSIONS)
def test_every_signature_can_be_read(version):
    """The simulated editor reads one when it is first called; here are those that no test calls."""
    texts = [text for entry in SURFACES[version]["classes"].values() for text in entry.get("methods", {}).values()]
    texts += [f"{name}{text[text.index('(') :]}" for name, text in SURFACES[version]["functions"].items()]
    assert len(texts) > 1000
    for text in texts:
        assert parse(text).returns


def names_in(path: Path):
    """``Class`` and ``Class.member`` for each ``unreal.Class`` and ``unreal.Class.member`` in a file."""
    for item in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(item, ast.Attribute) and isinstance(item.value, ast.Name) and item.value.id == "unreal":
            yield item.attr
        elif isinstance(item, ast.Attribute) and isinstance(item.value, ast.Attribute):
            inner = item.value
            if isinstance(inner.value, ast.Name) and inner.value.id == "unreal":
                yield f"{inner.attr}.{item.attr}"
        elif (
            isinstance(item, ast.Call)
            and isinstance(item.func, ast.Name)
            and item.func.id in ("getattr", "hasattr")
            and isinstance(item.args[1], ast.Constant)
            and ast.unparse(item.args[0]).startswith("unreal")
        ):
            owner = ast.unparse(item.args[0]).removeprefix("unreal").removeprefix(".")
            yield f"{owner}.{item.args[1].value}".removeprefix(".")


def property_names_in(path: Path):
    """Names given to ``set_editor_property`` and ``get_editor_property``, and keys of dicts for ``set_if_exists``."""
    tree = ast.parse(path.read_text(encoding="utf-8"))
    for item in ast.walk(tree):
        if isinstance(item, ast.Call) and isinstance(item.func, ast.Attribute):
            accessor = item.func.attr in ("set_editor_property", "get_editor_property")
            if accessor and item.args and isinstance(item.args[0], ast.Constant):
                yield item.args[0].value, "plain"
        elif isinstance(item, ast.Call) and isinstance(item.func, ast.Name) and item.func.id == "set_if_exists":
            for part in item.args[1:]:
                if isinstance(part, ast.Dict):
                    yield from ((key.value, "guarded") for key in part.keys if isinstance(key, ast.Constant))


USES = sorted({(name, path.relative_to(ROOT).as_posix()) for path in SOURCES for name in names_in(path)})
OWN_FORMS = {
    name
    for path in SOURCES
    for item in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
    if isinstance(item, ast.Assign) and isinstance(item.value, ast.Call) and "uproperty" in ast.unparse(item.value.func)
    for name in (target.id for target in item.targets if isinstance(target, ast.Name))
}


def missing_from(name):
    """Versions whose surface lacks a name."""
    owner, _, member = name.partition(".")
    lacking = []
    for version, surface in SURFACES.items():
        if member:
            there = has_member(surface, owner, member)
        else:
            there = owner in surface["classes"] or owner in surface["functions"]
        if not there:
            lacking.append(version)
    return lacking


def test_the_list_of_uses_is_not_empty():
    assert len(USES) > 60


def test_every_name_is_in_every_version_or_listed_with_its_guard():
    wrong = []
    for name, path in USES:
        lacking = missing_from(name)
        if not lacking:
            continue
        listed = GUARDED.get(name)
        if listed is None or set(listed[0]) & set(lacking):
            wrong.append(f"{path}: unreal.{name} is not in {', '.join(lacking)}: guard it and list it in GUARDED")
    assert not wrong, "\n".join(wrong)


def test_the_guard_list_holds_nothing_that_is_not_used_or_needs_no_guard():
    used = {name for name, _ in USES}
    members = {name.partition(".")[2] for name in GUARDED}
    text = "".join(path.read_text(encoding="utf-8") for path in SOURCES)
    for name in GUARDED:
        member = name.partition(".")[2]
        assert name in used or (member and member in text and member in members), f"{name} is not used any more"
        assert missing_from(name), f"{name} is in every version now"


@pytest.mark.parametrize("version", VERSIONS)
def test_every_property_name_exists_in_the_version_or_is_set_only_if_it_exists(version):
    known = {name for entry in SURFACES[version]["classes"].values() for name in entry.get("props", {})} | OWN_FORMS
    wrong = []
    for path in SOURCES:
        for name, kind in property_names_in(path):
            if name in known:
                continue
            if kind == "guarded" and name in OPTIONAL_PROPERTIES and version not in OPTIONAL_PROPERTIES[name]:
                continue
            wrong.append(f"{path.relative_to(ROOT)}: property {name!r} ({kind}) is unknown in {version}")
    assert not wrong, "\n".join(wrong)


def test_no_deprecated_method_is_called():
    wrong = [
        f"{path}: {name} is deprecated in {version}: {entry['deprecated'][member]}"
        for name, path in USES
        for owner, _, member in [name.partition(".")]
        for version, surface in SURFACES.items()
        for entry in chain(surface, owner)
        if member and member in (entry.get("deprecated") or {})
    ]
    assert not wrong, "\n".join(wrong)
