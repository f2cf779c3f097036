"""Tables of backends: which implementations a kind has, which of them can run here, and how one is loaded.

Nothing is imported until it is chosen: tables hold ``"module:Class"`` strings, merged with the entry points of
installed packages. Every backend class satisfies ``Backend`` beside the protocol of its kind.
"""

import functools
import importlib
from collections.abc import Mapping
from dataclasses import dataclass
from importlib.metadata import EntryPoint, entry_points
from typing import Generic, Protocol, TypeVar, cast

from bridge_server.errors import BackendUnavailable

T = TypeVar("T")


@functools.cache
def _installed(group: str) -> tuple[EntryPoint, ...]:
    """Entry points of a group; reading them scans every installed package, so it is done once a process."""
    return tuple(entry_points(group=group))


@dataclass(frozen=True, slots=True)
class Availability:
    """Whether a backend can run here."""

    available: bool
    detail: str = ""
    """Where available: version and device. Where not: the cause."""
    remedy: str = ""
    """What to type to make it available."""


class Backend(Protocol):
    """What the tables need of every backend class. Construction takes no arguments and loads models lazily."""

    @property
    def identity(self) -> str:
        """Name and version of everything that changes results; part of the cache key."""

    @classmethod
    def availability(cls) -> Availability:
        """Look, quickly and without importing anything heavy, whether this can run."""


@dataclass(frozen=True, slots=True)
class BackendKind(Generic[T]):
    """One kind of means, e.g. ray casting, with its implementations in order of preference."""

    name: str
    """As stages name it in their call signature, e.g. ``raycaster``."""
    table: Mapping[str, str]
    """name -> ``"module:Class"``; ``auto`` picks the first that is available."""
    entry_point_group: str

    def names(self) -> tuple[str, ...]:
        """All names, the built-in ones first."""
        return tuple(self._targets())

    def availability(self, name: str) -> Availability:
        """Availability by name; a failed import is an answer, not an error."""
        try:
            return self._load_class(name).availability()
        except BackendUnavailable as error:
            return Availability(available=False, detail=error.message, remedy=error.remedy)

    def choose(self, wish: str) -> str:
        """The name that ``wish`` stands for: itself, or for ``auto`` the first available one.

        Raises ``BackendUnavailable`` with cause and remedy.
        """
        if wish != "auto":
            found = self.availability(wish)
            if not found.available:
                raise BackendUnavailable(found.detail, subject=f"{self.name} {wish!r}", remedy=found.remedy)
            return wish
        causes = []
        for name in self.names():
            found = self.availability(name)
            if found.available:
                return name
            causes.append(f"{name}: {found.detail} {found.remedy}".strip())
        raise BackendUnavailable("none is available: " + "; ".join(causes), subject=self.name)

    def load(self, name: str) -> T:
        """Import and construct the backend of that name."""
        return cast(T, self._load_class(name)())

    def _targets(self) -> dict[str, str]:
        targets = dict(self.table)
        for point in _installed(self.entry_point_group):
            targets.setdefault(point.name, point.value)
        return targets

    def _load_class(self, name: str) -> type[Backend]:
        targets = self._targets()
        if name not in targets:
            known = ", ".join(targets) or "none"
            raise BackendUnavailable("unknown name.", subject=f"{self.name} {name!r}", remedy=f"Known: {known}.")
        module_name, _, class_name = targets[name].partition(":")
        try:
            module = importlib.import_module(module_name)
        except Exception as error:
            raise BackendUnavailable(
                f"cannot import {module_name}: {error}.",
                subject=f"{self.name} {name!r}",
                remedy="Run ./forge doctor to see what is missing.",
            ) from error
        found = getattr(module, class_name, None)
        if found is None:
            raise BackendUnavailable(
                f"{module_name} has no {class_name}.",
                subject=f"{self.name} {name!r}",
                remedy="Update the package that brings this backend, or uninstall it.",
            )
        return cast(type[Backend], found)
