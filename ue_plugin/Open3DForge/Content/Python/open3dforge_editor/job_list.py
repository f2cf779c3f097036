"""The jobs that this project's editor has sent off, as the tab shows them. Touched on the game thread only."""

import enum
import itertools
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path


class Phase(enum.StrEnum):
    """Where a job is, seen from the editor."""

    SENDING = "sending"
    QUEUED = "queued"
    RUNNING = "running"
    DOWNLOADING = "downloading"
    READY = "ready to import"
    IMPORTING = "importing"
    DONE = "done"
    FAILED = "failed"
    CANCELLED = "cancelled"

    @property
    def is_over(self) -> bool:
        """True where nothing more will happen by itself."""
        return self in (Phase.READY, Phase.DONE, Phase.FAILED, Phase.CANCELLED)


@dataclass(frozen=True)
class ForgeRequest:
    """What the user asked for."""

    asset_name: str
    preset: str
    destination: str
    photos: tuple[tuple[Path, str], ...] = ()
    """(file, view), view being front, back, left or right."""
    mesh: Path | None = None
    overrides: tuple[tuple[str, str], ...] = ()
    import_when_done: bool = True


@dataclass
class EditorJob:
    """One line of the jobs view."""

    number: int
    request: ForgeRequest
    phase: Phase = Phase.SENDING
    server_name: str = ""
    """``jobs/<id>`` once the server has taken it."""
    stage: str = ""
    fraction: float = 0.0
    eta_s: float | None = None
    message: str = ""
    """Error with its remedy, or what the import came to."""
    thumbnail: Path | None = None
    package: Path | None = None

    def line(self) -> str:
        """One line for a person."""
        parts = [f"{self.request.asset_name}: {self.phase.value}"]
        if self.phase in (Phase.RUNNING, Phase.IMPORTING) and self.stage:
            parts.append(f"{self.stage} {self.fraction:.0%}")
            if self.phase is Phase.RUNNING and self.eta_s is not None:
                parts.append(f"about {self.eta_s:.0f} s left")
        return ", ".join(parts) + (f". {self.message}" if self.message else "")


@dataclass
class JobList:
    """All jobs, newest first; those of earlier sessions come from ``job_history``."""

    jobs: list[EditorJob] = field(default_factory=list)
    watchers: list[Callable[[EditorJob], None]] = field(default_factory=list)
    _numbers: "itertools.count[int]" = field(default_factory=lambda: itertools.count(1))

    def add(self, request: ForgeRequest) -> EditorJob:
        """Start a line for a request."""
        job = EditorJob(next(self._numbers), request)
        self.jobs.insert(0, job)
        self.changed(job)
        return job

    def changed(self, job: EditorJob) -> None:
        """Tell everyone who shows the job."""
        for watcher in tuple(self.watchers):
            watcher(job)
