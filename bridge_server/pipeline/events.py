"""What a run tells while it goes on: frozen events, and their JSON form.

``overall`` is the share of the whole run that is done, 0 to 1. A stage whose result was in the store sends
``StageFinished`` with ``cached`` and nothing else. The last event is ``RunFinished``, ``RunFailed`` or
``RunCancelled``.
"""

import json
from dataclasses import asdict, dataclass, fields
from typing import Any, Self

from bridge_server.errors import StoreError
from bridge_server.values.base import Notice, Severity

SCHEMA = "open3dforge.event.v1"


@dataclass(frozen=True, slots=True, kw_only=True)
class Event:
    """Base of all events."""

    def to_json(self) -> str:
        """One line of JSON with the schema and the kind of event."""
        return json.dumps({"schema": SCHEMA, "event": _KIND_NAMES[type(self)], **asdict(self)}, ensure_ascii=False)

    @classmethod
    def from_content(cls, content: dict[str, Any]) -> Self:
        """Made from the fields of its JSON form; fields that a later version added are left out."""
        known = {field.name for field in fields(cls)}
        return cls(**{name: _frozen(name, part) for name, part in content.items() if name in known})


@dataclass(frozen=True, slots=True, kw_only=True)
class RunStarted(Event):
    """The plan is made."""

    stages: tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class StageEvent(Event):
    """Something about one stage."""

    stage: str
    index: int
    """Counted from 0."""
    count: int
    """Stages in the run."""
    overall: float


@dataclass(frozen=True, slots=True, kw_only=True)
class StageStarted(StageEvent):
    """No result was in the store, so the stage runs."""


@dataclass(frozen=True, slots=True, kw_only=True)
class StageProgress(StageEvent):
    """How far the stage is; a few times a second at most."""

    fraction: float
    note: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class StageFinished(StageEvent):
    """The stage's result is in the store."""

    cached: bool
    seconds: float
    notices: tuple[Notice, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class RunFinished(Event):
    """Every stage is done."""

    seconds: float


@dataclass(frozen=True, slots=True, kw_only=True)
class RunFailed(Event):
    """A stage failed; the fields are those of the ``ForgeError``."""

    stage: str
    reason: str
    message: str
    subject: str = ""
    remedy: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class RunCancelled(Event):
    """The user asked to stop; ``stage`` is the one that was stopped."""

    stage: str


EVENT_KINDS: dict[str, type[Event]] = {
    "run_started": RunStarted,
    "stage_started": StageStarted,
    "stage_progress": StageProgress,
    "stage_finished": StageFinished,
    "run_finished": RunFinished,
    "run_failed": RunFailed,
    "run_cancelled": RunCancelled,
}
_KIND_NAMES = {kind: name for name, kind in EVENT_KINDS.items()}


def event_from_json(text: str | bytes) -> Event:
    """The event of a line of JSON. Raises ``StoreError`` where it is none."""
    try:
        content = json.loads(text)
        if content["schema"] != SCHEMA:
            raise StoreError(f"has the schema {content['schema']!r}, not {SCHEMA!r}.", subject="event")
        return EVENT_KINDS[content["event"]].from_content(content)
    except (ValueError, KeyError, TypeError) as error:
        raise StoreError(f"is no event ({type(error).__name__}: {error}).", subject="event") from error


def notice_from_content(content: dict[str, Any]) -> Notice:
    """A notice from the fields of its JSON form."""
    return Notice(**{**content, "severity": Severity(content["severity"])})


def _frozen(name: str, part: Any) -> Any:
    if name == "notices":
        return tuple(notice_from_content(notice) for notice in part)
    return tuple(part) if isinstance(part, list) else part
