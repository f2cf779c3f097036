"""What a stage is, and how its declaration is read.

A stage is a frozen dataclass whose fields are its configuration and whose ``__call__`` is its declaration::

    def __call__(self, run: Run, raycaster: Raycaster, *, high_poly: HighPoly, unwrapped: UnwrappedMesh) -> NormalMap

The first parameter is the ``Run``; further positional parameters name the backend kinds it needs; keyword-only
parameters name the asset slots it reads (one with a default of None is read only where it is there); ``writes``
names its one output. A stage never sees the whole ``Asset``, so its cache key is sound.
"""

import abc
import inspect
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, ClassVar


@dataclass(frozen=True, slots=True)
class Range:
    """Bounds of a numeric field, both inclusive: ``count: Annotated[int, Range(1, 8)] = 3``."""

    low: float
    high: float


@dataclass(frozen=True, slots=True)
class Wording:
    """How a text field is written: ``budgets: Annotated[str, Wording(budgets_of)] = ""``."""

    read: Callable[[str], object]
    """Raises ``ValueError`` that says how it must be."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Stage(abc.ABC):
    """Base of all stages. Subclasses are frozen, slotted, keyword-only dataclasses and are final."""

    writes: ClassVar[str]
    """The slot of ``Asset`` that the result goes to; may be one it reads, which is then replaced."""
    version: ClassVar[int]
    """Raised whenever the same configuration and inputs give another result than before."""
    name: ClassVar[str]
    """How presets, events and the command line call it: lower_snake_case."""

    __call__: ClassVar[Any]


@dataclass(frozen=True, slots=True)
class Declaration:
    """What a stage class says it needs."""

    backends: tuple[str, ...]
    reads: tuple[str, ...]
    optional_reads: tuple[str, ...]
    writes: str


def declaration_of(stage: type[Stage]) -> Declaration:
    """Read the declaration off the call signature."""
    parameters = list(inspect.signature(stage.__call__).parameters.values())[2:]
    keyword = [p for p in parameters if p.kind is inspect.Parameter.KEYWORD_ONLY]
    return Declaration(
        backends=tuple(p.name for p in parameters if p.kind is inspect.Parameter.POSITIONAL_OR_KEYWORD),
        reads=tuple(p.name for p in keyword if p.default is inspect.Parameter.empty),
        optional_reads=tuple(p.name for p in keyword if p.default is not inspect.Parameter.empty),
        writes=stage.writes,
    )
