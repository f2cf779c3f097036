"""The durable queue: jobs and their events in the database, and waking whoever waits for the next event."""

import json
import math
import re
import secrets
import sqlite3
import threading
from collections.abc import Callable, Collection, Iterable
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import get_args

from bridge_server.errors import Conflict, InputError, NotFound
from bridge_server.jobs import usage
from bridge_server.jobs.database import Database
from bridge_server.jobs.encoding import decode, encode
from bridge_server.jobs.events import Happening, JobEvent, StageFinished, StateChanged, after
from bridge_server.jobs.job import Job, JobState

_KINDS: dict[str, type[Happening]] = {kind.__name__: kind for kind in get_args(Happening)}


@dataclass(frozen=True, slots=True, kw_only=True)
class Page:
    """One page of jobs, the newest first."""

    jobs: tuple[Job, ...]
    next_token: str


class JobStore:
    """Jobs by id. Every change is an event, committed before anybody hears of it."""

    def __init__(self, database: Database, now: Callable[[], datetime] = lambda: datetime.now(UTC)) -> None:
        self._database = database
        self._now = now
        self._changed = threading.Condition()
        self._latest: dict[str, float] = {}
        self._closing = False

    def create(self, draft: Job, payload: str) -> Job:
        """Queue ``draft``; its id, number and creation time are given here.

        A request id that was used before returns the job it made. Raises ``Conflict`` where that request had
        another payload.
        """
        with self._database.transaction() as rows:
            earlier = self._by_request(rows, draft.user, draft.request_id, payload)
            if earlier is not None:
                return earlier
            job = replace(draft, id=draft.id or new_job_id(), created=self._now(), last_sequence=0)
            columns = (job.id, job.user, job.request_id or None, payload, job.preset, job.spec.priority, job.uses_gpu)
            cursor = rows.execute(
                "INSERT INTO jobs (id, user, request_id, payload, preset, priority, uses_gpu, state, body) "
                "VALUES (?, ?, ?, ?, ?, ?, ?, 'queued', '')",
                columns,
            )
            job = self._append(rows, replace(job, number=cursor.lastrowid or 0), job_queued())
        self._tell(job)
        return job

    def find_request(self, user: str, request_id: str, payload: str) -> Job | None:
        """The job that this request made before. Raises ``Conflict`` where it had another payload."""
        with self._database.transaction() as rows:
            return self._by_request(rows, user, request_id, payload)

    def get(self, job_id: str, user: str | None = None) -> Job:
        """The job; another user's counts as not there. Raises ``NotFound``."""
        found = self._database.read("SELECT body FROM jobs WHERE id = ?", job_id)
        job = _job(found[0]) if found else None
        if job is None or (user is not None and job.user != user):
            raise NotFound(
                "there is no such job.", subject=f"jobs/{job_id}", remedy="List the jobs to see their names."
            )
        return job

    def page(self, user: str, states: Collection[JobState], size: int, token: str) -> Page:
        """Jobs of a user, optionally in some states only. Raises ``InputError`` for a bad token."""
        if token and not re.fullmatch(r"before-[0-9]{1,18}", token):
            raise InputError("is no page token of this server.", subject=f"page token {token[:40]!r}")
        before = int(token.removeprefix("before-")) if token else 2**62
        query = (
            "SELECT body FROM jobs WHERE user = ? AND number < ? AND state IN (SELECT value FROM json_each(?)) "
            "ORDER BY number DESC LIMIT ?"
        )
        wanted = json.dumps(list(states or JobState))
        found = [_job(row) for row in self._database.read(query, user, before, wanted, size + 1)]
        token = f"before-{found[size - 1].number}" if len(found) > size else ""
        return Page(jobs=tuple(found[:size]), next_token=token)

    def change(self, job_id: str, decide: Callable[[Job], Iterable[Happening]]) -> Job:
        """Read the job, let ``decide`` say what happens to it, and store that, all in one transaction."""
        with self._database.transaction() as rows:
            job = _existing(rows, job_id)
            for happening in decide(job):
                job = self._append(rows, job, happening)
        self._tell(job)
        return job

    def update(self, job_id: str, alter: Callable[[Job], Job]) -> Job:
        """Change fields of the job that no event tells of, such as its checklist."""
        with self._database.transaction() as rows:
            job = alter(_existing(rows, job_id))
            _save(rows, job)
        return job

    def in_state(self, state: JobState) -> tuple[Job, ...]:
        """All jobs in a state, in the order in which they are taken from the queue."""
        query = "SELECT body FROM jobs WHERE state = ? ORDER BY priority DESC, number"
        return tuple(_job(row) for row in self._database.read(query, state))

    def next_queued(self, blocked_users: Collection[str]) -> Job | None:
        """The job to take next: by priority, then age; GPU work of ``blocked_users`` has to wait."""
        query = (
            "SELECT body FROM jobs WHERE state = 'queued' "
            "AND NOT (uses_gpu AND user IN (SELECT value FROM json_each(?))) ORDER BY priority DESC, number LIMIT 1"
        )
        rows = self._database.read(query, json.dumps(list(blocked_users)))
        return _job(rows[0]) if rows else None

    def counts(self) -> dict[JobState, int]:
        """How many jobs there are in each state."""
        rows = self._database.read("SELECT state, COUNT(*) FROM jobs GROUP BY state")
        counted = {str(state): int(str(count)) for state, count in rows}
        return {state: counted.get(state.value, 0) for state in JobState}

    def ids(self) -> frozenset[str]:
        """Ids of all jobs."""
        return frozenset(str(row[0]) for row in self._database.read("SELECT id FROM jobs"))

    def delete(self, job_id: str) -> None:
        """Remove the job and its events. Raises ``Conflict`` where it has not ended."""
        with self._database.transaction() as rows:
            if not _existing(rows, job_id).state.ended:
                raise Conflict("has not ended.", subject=f"jobs/{job_id}", remedy="Cancel it first.")
            rows.execute("DELETE FROM jobs WHERE id = ?", (job_id,))
        with self._changed:
            self._latest[job_id] = math.inf
            self._changed.notify_all()

    def events_after(self, job_id: str, sequence: int, limit: int = 500) -> tuple[JobEvent, ...]:
        """Stored events with higher numbers, in order."""
        query = "SELECT sequence, time, kind, body FROM events WHERE job = ? AND sequence > ? ORDER BY sequence LIMIT ?"
        return tuple(_event(row) for row in self._database.read(query, job_id, sequence, limit))

    def wait_for_event(self, job_id: str, sequence: int, gone: threading.Event, timeout_s: float = 30.0) -> None:
        """Return once the job may have an event with a higher number, was deleted, or ``gone`` is set."""
        with self._changed:
            self._changed.wait_for(
                lambda: self._closing or gone.is_set() or self._latest.get(job_id, 0) > sequence, timeout_s
            )

    def wake_watchers(self) -> None:
        """Let every waiting watcher look at its ``gone`` flag."""
        with self._changed:
            self._changed.notify_all()

    @property
    def closing(self) -> bool:
        """True once the server stops: watchers get what is stored and then leave."""
        return self._closing

    def close_watches(self) -> None:
        """Send the watchers away, because the server stops."""
        with self._changed:
            self._closing = True
            self._changed.notify_all()

    def usual_s(self, preset: str) -> dict[str, float]:
        """Seconds each stage usually takes under a preset."""
        return usage.usual_s(self._database, preset)

    def gpu_seconds_today(self, user: str) -> float:
        """GPU seconds the user has spent since midnight, UTC."""
        return usage.gpu_seconds(self._database, user, self._now())

    def users_over(self, gpu_seconds: float) -> frozenset[str]:
        """Users who have spent at least that many GPU seconds since midnight, UTC."""
        return usage.users_over(self._database, gpu_seconds, self._now())

    def now(self) -> datetime:
        """The time that events are stamped with."""
        return self._now()

    def _append(self, rows: sqlite3.Connection, job: Job, happening: Happening) -> Job:
        event = JobEvent(sequence=job.last_sequence + 1, time=self._now(), happening=happening)
        rows.execute(
            "INSERT INTO events (job, sequence, time, kind, body) VALUES (?, ?, ?, ?, ?)",
            (job.id, event.sequence, event.time.isoformat(), type(happening).__name__, encode(happening)),
        )
        job = after(job, event)
        _save(rows, job)
        if isinstance(happening, StageFinished):
            usage.record(rows, job, happening, event.time)
        return job

    def _by_request(self, rows: sqlite3.Connection, user: str, request_id: str, payload: str) -> Job | None:
        if not request_id:
            return None
        query = "SELECT body, payload FROM jobs WHERE user = ? AND request_id = ?"
        found = rows.execute(query, (user, request_id)).fetchone()
        if found is None:
            return None
        if found[1] != payload:
            raise Conflict(
                "this request id was used for another job.",
                subject=f"request id {request_id}",
                remedy="Take a new request id for each new job.",
            )
        return _job(found)

    def _tell(self, job: Job) -> None:
        with self._changed:
            self._latest[job.id] = max(self._latest.get(job.id, 0), job.last_sequence)
            self._changed.notify_all()


def new_job_id() -> str:
    """An id that no other job has."""
    return secrets.token_hex(6)


def job_queued() -> StateChanged:
    """The first event of every job."""
    return StateChanged(state=JobState.QUEUED, attempt=0)


def _existing(rows: sqlite3.Connection, job_id: str) -> Job:
    found = rows.execute("SELECT body FROM jobs WHERE id = ?", (job_id,)).fetchone()
    if found is None:
        raise NotFound("there is no such job.", subject=f"jobs/{job_id}")
    return _job(found)


def _save(rows: sqlite3.Connection, job: Job) -> None:
    rows.execute("UPDATE jobs SET state = ?, body = ? WHERE id = ?", (job.state, encode(job), job.id))


def _job(row: tuple[object, ...]) -> Job:
    return decode(Job, str(row[0]))


def _event(row: tuple[object, ...]) -> JobEvent:
    happening: Happening = decode(_KINDS[str(row[2])], str(row[3]))
    return JobEvent(sequence=int(str(row[0])), time=datetime.fromisoformat(str(row[1])), happening=happening)
