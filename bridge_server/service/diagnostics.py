"""A look at everything a job needs: what is missing, why, and what to type."""

import enum
import os
import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from bridge_server.backends import weights
from bridge_server.backends.table import Availability, BackendKind
from bridge_server.pipeline.preset_library import PresetLibrary

NEEDED_BYTES = 4 * 2**30
"""Room on the disk below which jobs with large maps may fail."""
OPTIONAL_KINDS = frozenset(["inpainter"])
"""Kinds that no stage needs unless it is switched on."""


class Health(enum.StrEnum):
    """Outcome of one look."""

    OK = "ok"
    WARNING = "warning"
    ERROR = "error"


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """One thing that was looked at."""

    subject: str
    health: Health
    detail: str
    remedy: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class SeenBackend:
    """One implementation and whether it can run here."""

    kind: str
    name: str
    availability: Availability
    chosen: bool = False
    """True for the one that ``auto`` stands for."""


def look_at_backends(kind: BackendKind[Any]) -> tuple[SeenBackend, ...]:
    """Every implementation of a kind, in order of preference; ``auto`` is the first that can run."""
    seen = [(name, _availability(kind, name)) for name in kind.names()]
    first = next((name for name, availability in seen if availability.available), None)
    return tuple(
        SeenBackend(kind=kind.name, name=name, availability=availability, chosen=name == first)
        for name, availability in seen
    )


def _availability(kind: BackendKind[Any], name: str) -> Availability:
    try:
        return kind.availability(name)
    except Exception as error:  # noqa: BLE001 - a plug-in that is broken is a finding, not the end of the diagnosis
        remedy = "Update or remove the package that brings it."
        return Availability(available=False, detail=f"is broken: {type(error).__name__}: {error}", remedy=remedy)


def diagnose(library: PresetLibrary, data: Path) -> tuple[Finding, ...]:
    """Look at the data folder, the backends, the model weights and the presets."""
    return (
        *_look_at_folder(data),
        *(finding for kind in library.registry.kinds.values() for finding in _look_at_kind(kind)),
        *_look_at_weights(),
        *_look_at_presets(library),
    )


def _look_at_folder(data: Path) -> Iterator[Finding]:
    writable = os.access(data, os.W_OK)
    health = Health.OK if writable else Health.ERROR
    remedy = "" if writable else "Give the server's user the right to write there."
    yield Finding(subject="data folder", health=health, detail=str(data), remedy=remedy)
    free = shutil.disk_usage(data).free
    yield Finding(
        subject="disk space",
        health=Health.OK if free >= NEEDED_BYTES else Health.WARNING,
        detail=f"{free / 2**30:.1f} GiB free",
        remedy="" if free >= NEEDED_BYTES else "Free disk space, or move the data folder with OPEN3DFORGE_HOME.",
    )


def _look_at_kind(kind: BackendKind[Any]) -> Iterator[Finding]:
    """One backend that works makes those that do not a matter of choice; none makes them the cause."""
    seen = look_at_backends(kind)
    works = any(backend.chosen for backend in seen)
    lacking = Health.WARNING if works or kind.name in OPTIONAL_KINDS else Health.ERROR
    for backend in seen:
        yield Finding(
            subject=f"{backend.kind} {backend.name}",
            health=Health.OK if backend.availability.available else lacking,
            detail=backend.availability.detail,
            remedy=backend.availability.remedy,
        )


def _look_at_weights() -> Iterator[Finding]:
    for name, entry in weights.CATALOGUE.items():
        state = weights.state_of(name)
        there = state is weights.WeightsState.PRESENT
        detail = f"{entry.purpose}: {state}"
        health = Health.OK if there else Health.WARNING
        yield Finding(subject=f"weights {name}", health=health, detail=detail, remedy="" if there else entry.remedy)


def _look_at_presets(library: PresetLibrary) -> Iterator[Finding]:
    for entry in library.entries():
        if entry.preset is None:
            remedy = "" if entry.shipped else f"Mend or delete {library.user / f'{entry.name}.json'}."
            yield Finding(subject=f"preset {entry.name}", health=Health.ERROR, detail=entry.problem, remedy=remedy)
