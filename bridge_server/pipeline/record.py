"""What is known about a run when it is over; enough to assemble the package from the store."""

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any, Self

from bridge_server.errors import StoreError
from bridge_server.pipeline.events import notice_from_content
from bridge_server.values.base import Notice, Severity

SCHEMA = "open3dforge.run.v1"


@dataclass(frozen=True, slots=True, kw_only=True)
class StageNotice:
    """A notice and the stage that it is about."""

    stage: str
    notice: Notice


@dataclass(frozen=True, slots=True, kw_only=True)
class StageRecord:
    """One stage of a run."""

    stage: str
    seconds: float
    cached: bool
    digest: str
    """Of the value that it wrote."""
    size_bytes: int
    notices: tuple[Notice, ...] = ()
    retries: int = 0
    """How often a worker died over it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class RunRecord:
    """A finished run."""

    seconds: float
    slots: Mapping[str, str]
    """Slot of ``Asset`` -> digest of what lies in it at the end, inputs included."""
    stages: tuple[StageRecord, ...]
    backends: Mapping[str, str]
    """Kind -> identity of what served."""
    plan_notices: tuple[StageNotice, ...] = ()
    """What planning had to tell, e.g. that a preferred backend was not available."""

    @property
    def notices(self) -> tuple[StageNotice, ...]:
        """Everything that the user has to be told, in order."""
        told = tuple(StageNotice(stage=each.stage, notice=notice) for each in self.stages for notice in each.notices)
        return (*self.plan_notices, *told)

    @property
    def fallbacks(self) -> tuple[StageNotice, ...]:
        """The warnings among the notices."""
        return tuple(told for told in self.notices if told.notice.severity is Severity.WARNING)

    @property
    def digests(self) -> frozenset[str]:
        """Every value that the run wrote or used: what to pin while it is wanted."""
        return frozenset((*self.slots.values(), *(stage.digest for stage in self.stages)))

    def to_json(self) -> str:
        """The document."""
        return json.dumps({"schema": SCHEMA, **asdict(self)}, ensure_ascii=False, indent=1) + "\n"

    @classmethod
    def from_json(cls, text: str | bytes) -> Self:
        """Read a document. Raises ``StoreError`` where it is none."""
        try:
            content = json.loads(text)
            if content.pop("schema") != SCHEMA:
                raise ValueError(f"the schema is not {SCHEMA!r}")
            stages = tuple(_stage(each) for each in content.pop("stages"))
            told = tuple(
                StageNotice(stage=each["stage"], notice=notice_from_content(each["notice"]))
                for each in content.pop("plan_notices")
            )
            return cls(**content, stages=stages, plan_notices=told)
        except (ValueError, KeyError, TypeError, AttributeError) as error:
            raise StoreError(f"is no run record ({type(error).__name__}: {error}).", subject="run record") from error


def _stage(content: dict[str, Any]) -> StageRecord:
    notices = tuple(notice_from_content(notice) for notice in content["notices"])
    return StageRecord(**{**content, "notices": notices})
