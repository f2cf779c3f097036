"""Progress and cancellation, as stages and backends see them."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol


class Run(Protocol):
    """Handed to every stage; holds progress and cancellation only."""

    def checkpoint(self, fraction: float, note: str = "") -> None:
        """Report how far the stage is (0 to 1), or raise ``Cancelled``. Cheap: call it a few times a second."""


@dataclass(frozen=True, slots=True)
class SilentRun:
    """Reports to nobody and is never cancelled."""

    def checkpoint(self, fraction: float, note: str = "") -> None:
        """Do nothing."""


@dataclass(frozen=True, slots=True)
class PartialRun:
    """A share of another run: its 0 to 1 is the parent's ``start`` to ``end``."""

    parent: Run
    start: float
    end: float

    def checkpoint(self, fraction: float, note: str = "") -> None:
        """Report to the parent, scaled."""
        self.parent.checkpoint(self.start + (self.end - self.start) * fraction, note)


@dataclass(frozen=True, slots=True)
class CallbackRun:
    """Passes every checkpoint to a function, which may raise ``Cancelled``."""

    callback: Callable[[float, str], None]

    def checkpoint(self, fraction: float, note: str = "") -> None:
        """Call the function."""
        self.callback(fraction, note)
