"""Every package that gets installed is pinned, and stands in ``docs/dependencies.md`` with its version and licence."""

import re
import tomllib
from importlib.metadata import PackageNotFoundError, distribution
from pathlib import Path

import pytest
from packaging.requirements import Requirement

ROOT = Path(__file__).resolve().parents[1]
COPYLEFT = re.compile(r"\bA?L?GPL|\bMPL", re.IGNORECASE)
OF_CUDA = re.compile(r"nvidia-|cuda-|triton$")
"""What torch's builds for CUDA bring along; torch itself pins them exactly."""


def canonical(name: str) -> str:
    return re.sub(r"[-_.]+", "-", name).lower()


def declared() -> dict[str, list[Requirement]]:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    extras = {name: list(map(Requirement, lines)) for name, lines in project["optional-dependencies"].items()}
    return {"": list(map(Requirement, project["dependencies"])), **extras}


def pins() -> dict[str, str]:
    lines = (ROOT / "constraints.txt").read_text().splitlines()
    pairs = [line.split("==") for line in lines if "==" in line]
    return {canonical(name): version for name, version in pairs}


def documented() -> dict[str, tuple[str, str]]:
    """Version and licence by package, from the tables of the page that have a version column."""
    rows = re.findall(
        r"^\| ([\w.-]+) \| ([\w.]+|not pinned) \| ([^|]+) \|", (ROOT / "docs/dependencies.md").read_text(), re.M
    )
    return {canonical(name): (version, licence.strip()) for name, version, licence in rows}


def brought(requirements: list[Requirement]) -> set[str]:
    """These packages and everything they bring along, as installed here."""
    found: set[str] = set()
    waiting = list(requirements)
    while waiting:
        name = canonical(waiting.pop().name)
        if name in found:
            continue
        if OF_CUDA.match(name):
            continue
        found.add(name)
        for line in distribution(name).requires or []:
            further = Requirement(line)
            if further.marker is None or further.marker.evaluate({"extra": ""}):
                waiting.append(further)
    return found


@pytest.mark.parametrize("extra", ["", "dev", "pymeshfix", "trellis2"])
def test_every_declared_dependency_is_documented(extra: str) -> None:
    missing = [item.name for item in declared()[extra] if canonical(item.name) not in documented()]
    assert not missing, f"add {missing} to docs/dependencies.md"


def test_every_pin_is_documented_with_its_version() -> None:
    wrong = {name: version for name, version in pins().items() if documented().get(name, ("", ""))[0] != version}
    assert not wrong, f"docs/dependencies.md lacks or contradicts constraints.txt: {wrong}"


def test_whatever_gets_installed_is_pinned() -> None:
    needed = brought(declared()[""] + declared()["dev"] + declared()["trellis2"]) - {"setuptools"}
    assert needed <= set(pins()), f"add {needed - set(pins())} to constraints.txt"
    assert set(pins()) <= needed, f"nothing needs {set(pins()) - needed}; take it out of constraints.txt"


def test_torch_is_no_part_of_the_default_installation() -> None:
    assert "torch" not in brought(declared()[""])


def test_the_tests_bring_all_that_the_learned_generator_needs() -> None:
    names = {extra: {canonical(item.name) for item in declared()[extra]} for extra in ("dev", "trellis2")}
    assert names["trellis2"] <= names["dev"]


def test_the_learned_generator_needs_no_torchvision() -> None:
    assert "torchvision" not in brought(declared()["trellis2"])


def test_copyleft_packages_are_named_where_a_reader_looks_first() -> None:
    section = (ROOT / "docs/dependencies.md").read_text().split("## Copyleft")[1].split("\n## ")[0]
    copyleft = {name for name, (_, licence) in documented().items() if COPYLEFT.search(licence)}
    assert "pymeshlab" in copyleft
    for name in copyleft | {"bpy"}:
        assert name in section


def test_documented_licences_agree_with_the_installed_packages() -> None:
    for name, (_, licence) in documented().items():
        try:
            stated = distribution(name).metadata
        except PackageNotFoundError:
            continue
        classifiers = [text for text in stated.get_all("Classifier", []) if text.startswith("License ::")]
        words = f"{stated['License-Expression'] or ''} {(stated['License'] or '')[:80]} {' '.join(classifiers)}"
        if COPYLEFT.search(words):
            assert COPYLEFT.search(licence), f"{name} says {words.strip()!r}, the page says {licence!r}"
