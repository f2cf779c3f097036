"""What every value that lies in a slot of an asset has in common."""

import enum
from dataclasses import dataclass, fields

import numpy as np


class Severity(enum.StrEnum):
    """How much a notice matters to the user."""

    INFO = "info"
    WARNING = "warning"


@dataclass(frozen=True, slots=True, kw_only=True)
class Notice:
    """Something that the user has to be told: a fallback taken, a repair refused, an input bent to fit."""

    code: str
    """Stable lower-case word for machines, e.g. ``collision_fallback``."""
    message: str
    """One sentence: what happened and what it means for the asset."""
    remedy: str = ""
    """What the user may do about it; empty where nothing needs doing."""
    severity: Severity = Severity.WARNING


@dataclass(frozen=True, slots=True, kw_only=True)
class Value:
    """Base of all slot values and of their parts: arrays are made read-only on construction."""

    notices: tuple[Notice, ...] = ()
    """What the stage that made this value has to tell; replayed when the value comes from the cache."""

    def __post_init__(self) -> None:
        for field in fields(self):
            content = getattr(self, field.name)
            if isinstance(content, np.ndarray) and content.flags.writeable:
                view = np.ascontiguousarray(content).view()
                view.flags.writeable = False
                object.__setattr__(self, field.name, view)
