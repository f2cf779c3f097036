"""What happens to a job, and how it changes the job.

The row in the database is the fold of the job's events: ``after`` is the one place where an event changes a job,
so what a watcher pieces together from events and what ``GetJob`` answers cannot differ.
"""

from dataclasses import dataclass, replace
from datetime import datetime

from bridge_server.jobs.job import Job, JobError, JobNotice, JobState, StageProgress, StageState
from bridge_server.values.base import Notice


@dataclass(frozen=True, slots=True, kw_only=True)
class StateChanged:
    """The job entered another state."""

    state: JobState
    attempt: int
    error: JobError | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class StageStarted:
    """A stage began."""

    stage: str
    index: int
    count: int


@dataclass(frozen=True, slots=True, kw_only=True)
class StageProgressed:
    """A stage came further."""

    stage: str
    fraction: float
    note: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class StageFinished:
    """A stage is done."""

    stage: str
    seconds: float
    cached: bool = False
    gpu_seconds: float = 0.0


@dataclass(frozen=True, slots=True, kw_only=True)
class NoticeRaised:
    """The user has to be told something."""

    stage: str
    notice: Notice


@dataclass(frozen=True, slots=True, kw_only=True)
class JobResumed:
    """The server stopped in the middle of the job, and the job goes on."""

    message: str
    crashes: int


Happening = StateChanged | StageStarted | StageProgressed | StageFinished | NoticeRaised | JobResumed


@dataclass(frozen=True, slots=True, kw_only=True)
class JobEvent:
    """Something that happened to a job, with its number within the job."""

    sequence: int
    time: datetime
    happening: Happening


def after(job: Job, event: JobEvent) -> Job:
    """The job as it stands once ``event`` has happened."""
    job = replace(job, last_sequence=event.sequence)
    match event.happening:
        case StateChanged() as change:
            return _entered(job, change, event.time)
        case StageStarted(stage=stage):
            return _with_stage(job, stage, state=StageState.RUNNING, started=event.time, fraction=0.0)
        case StageProgressed(stage=stage, fraction=fraction, note=note):
            return _with_stage(job, stage, state=StageState.RUNNING, fraction=fraction, note=note)
        case StageFinished(stage=stage, seconds=seconds, cached=cached, gpu_seconds=gpu_seconds):
            job = _with_stage(
                job, stage, state=StageState.FINISHED, fraction=1.0, note="", seconds=seconds, cached=cached
            )
            return replace(job, gpu_seconds=job.gpu_seconds + gpu_seconds)
        case NoticeRaised(stage=stage, notice=notice):
            told = JobNotice(stage=stage, notice=notice)
            return job if told in job.notices else replace(job, notices=(*job.notices, told))
        case JobResumed(crashes=crashes):
            return replace(job, crashes=crashes)


def _entered(job: Job, change: StateChanged, time: datetime) -> Job:
    job = replace(job, state=change.state, attempt=change.attempt, error=change.error)
    if change.state is JobState.QUEUED:
        fresh = tuple(StageProgress(stage=stage.stage) for stage in job.stages)
        crashes = 0 if job.ended else job.crashes
        job = replace(job, stages=fresh, started=None, ended=None, crashes=crashes, cancel_requested=False)
        return replace(job, checklist=None, thumbnail=False)
    if change.state is JobState.RUNNING:
        return replace(job, started=time, notices=())
    if change.state is JobState.FAILED:
        stages = tuple(
            replace(stage, state=StageState.FAILED) if stage.state is StageState.RUNNING else stage
            for stage in job.stages
        )
        job = replace(job, stages=stages)
    return replace(job, ended=time)


def _with_stage(job: Job, stage: str, **changes: object) -> Job:
    known = {progress.stage for progress in job.stages}
    stages = job.stages if stage in known else (*job.stages, StageProgress(stage=stage))
    changed = tuple(replace(p, **changes) if p.stage == stage else p for p in stages)  # type: ignore[arg-type]
    return replace(job, stages=changed)
