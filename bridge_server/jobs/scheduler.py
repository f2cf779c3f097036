"""Threads that take jobs from the queue and see them through, whatever happens."""

import logging
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

from bridge_server.errors import Cancelled, DiskFull, ForgeError, StoreError
from bridge_server.jobs.artifacts import JobFolders
from bridge_server.jobs.events import Happening, JobResumed, NoticeRaised, StageProgressed, StateChanged
from bridge_server.jobs.job import Job, JobError, JobState, Outcome
from bridge_server.jobs.store import JobStore
from bridge_server.pipeline.store import is_disk_full
from bridge_server.values.base import Notice, Severity

MOST_CRASHES = 3
PROGRESS_S = 0.1
"""Least time between two progress events of a job; what comes faster is left out."""
LOOK_AGAIN_S = 30.0
RETRY_S = 2.0
_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True, kw_only=True)
class Assignment:
    """A job to do and the folder that holds its inputs and gets its package."""

    job: Job
    folder: Path


Work = Callable[[Assignment, Callable[[Happening], None], threading.Event], Outcome]
"""Does a job: tells what happens, and raises ``Cancelled`` soon after the event is set, or a ``ForgeError``."""


class Scheduler:
    """Takes queued jobs by priority, then age, and has ``work`` done for each in a thread of its own."""

    def __init__(
        self, store: JobStore, folders: JobFolders, work: Work, *, concurrent: int = 1, gpu_seconds_a_day: float = 0.0
    ) -> None:
        self._store = store
        self._folders = folders
        self._work = work
        self._gpu_seconds_a_day = gpu_seconds_a_day
        self._wake = threading.Condition()
        self._stopping = False
        self._running: dict[str, threading.Event] = {}
        names = [f"job-worker-{index}" for index in range(concurrent)]
        self._threads = [threading.Thread(target=self._serve, name=name, daemon=True) for name in names]

    def start(self) -> None:
        """Put the jobs that a crash interrupted back into the queue, and begin."""
        for job in self._store.in_state(JobState.RUNNING):
            self._store.change(job.id, _recovered)
        for thread in self._threads:
            thread.start()

    def wake(self) -> None:
        """Look at the queue now."""
        with self._wake:
            self._wake.notify_all()

    def cancel(self, job_id: str) -> Job:
        """End a queued job at once and ask a running one to stop; one that has ended stays as it is."""
        job = self._store.change(job_id, _cancelled_if_queued)
        if job.state is not JobState.RUNNING:
            return job
        job = self._store.update(job_id, lambda now: replace(now, cancel_requested=not now.state.ended))
        with self._wake:
            if job_id in self._running:
                self._running[job_id].set()
        return job

    def stop(self, grace_s: float) -> None:
        """Interrupt the running jobs, put them back into the queue, and end the threads within ``grace_s``."""
        deadline = time.monotonic() + grace_s
        with self._wake:
            self._stopping = True
            for cancel in self._running.values():
                cancel.set()
            self._wake.notify_all()
        for thread in self._threads:
            if thread.is_alive():
                thread.join(max(0.0, deadline - time.monotonic()))
        for job in self._store.in_state(JobState.RUNNING):
            self._store.change(job.id, _interrupted)

    def _serve(self) -> None:
        while True:
            with self._wake:
                job = None
                while not self._stopping and (job := self._taken()) is None:
                    self._wake.wait(LOOK_AGAIN_S)
                if job is None:
                    return
                cancel = self._running[job.id] = threading.Event()
            try:
                self._see_through(job, cancel)
            except Exception:  # noqa: BLE001 - the thread has further jobs to do
                _log.exception("job %s was left in the middle", job.id)
            finally:
                with self._wake:
                    del self._running[job.id]

    def _taken(self) -> Job | None:
        """The next job, now RUNNING; None where nothing can start. A failing database means trying again later."""
        try:
            limit = self._gpu_seconds_a_day
            blocked = self._store.users_over(limit) if limit > 0 else frozenset[str]()
            job = self._store.next_queued(blocked)
            if job is None:
                self._tell_waiting(blocked)
                return None
            taken = self._store.change(job.id, _started_if_queued)
            return taken if taken.attempt > job.attempt and taken.state is JobState.RUNNING else None
        except StoreError:
            _log.exception("cannot take a job from the queue; trying again")
            return None

    def _tell_waiting(self, blocked: frozenset[str]) -> None:
        message = "The job waits until midnight UTC: your GPU seconds of today are spent."
        notice = Notice(code="quota_wait", message=message, severity=Severity.INFO)
        if not blocked:
            return
        for job in self._store.in_state(JobState.QUEUED):
            if job.user in blocked and all(told.notice.code != notice.code for told in job.notices):
                self._store.change(job.id, lambda _: (NoticeRaised(stage="", notice=notice),))

    def _see_through(self, job: Job, cancel: threading.Event) -> None:
        try:
            self._folders.clear_results(job.id)
            if self._store.get(job.id).cancel_requested:
                raise Cancelled
            outcome = self._work(Assignment(job=job, folder=self._folders.of(job.id)), self._recorder(job), cancel)
            self._folders.record(job.id)
            self._store.update(job.id, lambda now: _with_outcome(now, outcome) if _same_run(now, job) else now)
            self._end(job, lambda now: _changed(now, JobState.SUCCEEDED))
        except Cancelled:
            self._folders.clear_results(job.id)
            self._end(job, lambda now: _stopped(now, interrupted=self._stopping))
        except Exception as error:  # noqa: BLE001 - whatever happens in one job, the server goes on
            self._folders.clear_results(job.id)
            found = _told(error)
            self._end(job, lambda now: _changed(now, JobState.FAILED, replace(found, stage=now.running_stage)))

    def _recorder(self, job: Job) -> Callable[[Happening], None]:
        told_at = 0.0

        def record(happening: Happening) -> None:
            nonlocal told_at
            if isinstance(happening, StageProgressed):
                if time.monotonic() - told_at < PROGRESS_S:
                    return
                told_at = time.monotonic()
            self._store.change(job.id, lambda now: (happening,) if _same_run(now, job) else ())

        return record

    def _end(self, job: Job, decide: Callable[[Job], tuple[Happening, ...]]) -> None:
        """Store how the job ended, trying until the disk takes it: an end that nobody learns of is no end."""
        while True:
            try:
                self._store.change(job.id, lambda now: decide(now) if _same_run(now, job) else ())
                return
            except StoreError:
                _log.exception("cannot store how job %s ended; trying again", job.id)
            with self._wake:
                if self._stopping:
                    return
                self._wake.wait(RETRY_S)


def _same_run(now: Job, taken: Job) -> bool:
    """False once the job was given back or taken anew: then this thread has no say in it any more."""
    return now.state is JobState.RUNNING and now.attempt == taken.attempt


def _with_outcome(job: Job, outcome: Outcome) -> Job:
    return replace(job, checklist=outcome.checklist, thumbnail=outcome.thumbnail)


def _changed(job: Job, state: JobState, error: JobError | None = None) -> tuple[Happening, ...]:
    return (StateChanged(state=state, attempt=job.attempt, error=error),)


def _started_if_queued(job: Job) -> tuple[Happening, ...]:
    if job.state is not JobState.QUEUED:
        return ()
    return (StateChanged(state=JobState.RUNNING, attempt=job.attempt + 1),)


def _cancelled_if_queued(job: Job) -> tuple[Happening, ...]:
    return _cancelled(job) if job.state is JobState.QUEUED else ()


def _cancelled(job: Job) -> tuple[Happening, ...]:
    return _changed(job, JobState.CANCELLED)


def _stopped(job: Job, *, interrupted: bool) -> tuple[Happening, ...]:
    return _interrupted(job) if interrupted and not job.cancel_requested else _cancelled(job)


def _interrupted(job: Job) -> tuple[Happening, ...]:
    message = "The server was stopped; the job goes on from its last finished stage when the server is back."
    return (JobResumed(message=message, crashes=job.crashes), *_changed(job, JobState.QUEUED))


def _recovered(job: Job) -> tuple[Happening, ...]:
    """What becomes of a job that was RUNNING when the server died."""
    if job.cancel_requested:
        return _cancelled(job)
    crashes = job.crashes + 1
    if crashes < MOST_CRASHES:
        message = (
            "The server stopped without warning and was started again; the job goes on from its last finished stage."
        )
        return (JobResumed(message=message, crashes=crashes), *_changed(job, JobState.QUEUED))
    error = JobError(
        code="SERVER_CRASHED",
        message=f"the server stopped without warning {crashes} times in the middle of this job.",
        subject=f"jobs/{job.id}",
        remedy="Look into the server's log; memory that runs out is the usual cause. Then retry the job.",
        stage=job.running_stage,
    )
    message = f"The server has stopped without warning {crashes} times in the middle of this job."
    return (JobResumed(message=message, crashes=crashes), *_changed(job, JobState.FAILED, error))


def _told(error: Exception) -> JobError:
    """The user's words for what ended a job; what nobody foresaw goes to the log with its traceback."""
    if isinstance(error, OSError) and is_disk_full(error):
        error = DiskFull("the server's disk is full.", remedy="Free disk space there, then retry the job.")
    if isinstance(error, ForgeError):
        return JobError(code=error.reason, message=error.message, subject=error.subject, remedy=error.remedy)
    _log.error("a job failed unexpectedly", exc_info=error)
    return JobError(
        code="INTERNAL_ERROR",
        message=f"{type(error).__name__}: {error}",
        remedy="This is a fault of Open3DForge; the server's log has the details.",
    )
