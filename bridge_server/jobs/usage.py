"""What past work has cost: how long stages took, for estimates, and GPU seconds a user and day, for the quota."""

import sqlite3
import statistics
from datetime import datetime, timedelta

from bridge_server.jobs.database import Database
from bridge_server.jobs.events import StageFinished
from bridge_server.jobs.job import Job

KEPT_TIMES = 10
"""Estimates follow this many of the latest runs of a stage."""


def record(rows: sqlite3.Connection, job: Job, finished: StageFinished, time: datetime) -> None:
    """Remember what a stage took. Results from the store teach nothing and cost nothing."""
    if finished.cached:
        return
    key = (job.preset, finished.stage)
    rows.execute("INSERT INTO stage_times (preset, stage, seconds) VALUES (?, ?, ?)", (*key, finished.seconds))
    rows.execute(
        "DELETE FROM stage_times WHERE preset = ? AND stage = ? AND number NOT IN "
        "(SELECT number FROM stage_times WHERE preset = ? AND stage = ? ORDER BY number DESC LIMIT ?)",
        (*key, *key, KEPT_TIMES),
    )
    if finished.gpu_seconds > 0:
        rows.execute(
            "INSERT INTO gpu_usage (user, day, seconds) VALUES (?, ?, ?) "
            "ON CONFLICT (user, day) DO UPDATE SET seconds = seconds + excluded.seconds",
            (job.user, _day(time), finished.gpu_seconds),
        )


def usual_s(database: Database, preset: str) -> dict[str, float]:
    """Median seconds of each stage under a preset."""
    times: dict[str, list[float]] = {}
    for stage, seconds in database.read("SELECT stage, seconds FROM stage_times WHERE preset = ?", preset):
        times.setdefault(str(stage), []).append(float(str(seconds)))
    return {stage: statistics.median(seconds) for stage, seconds in times.items()}


def gpu_seconds(database: Database, user: str, now: datetime) -> float:
    """GPU seconds that ``user`` has spent on the day of ``now``."""
    found = database.read("SELECT seconds FROM gpu_usage WHERE user = ? AND day = ?", user, _day(now))
    return float(str(found[0][0])) if found else 0.0


def users_over(database: Database, limit_s: float, now: datetime) -> frozenset[str]:
    """Users who have spent ``limit_s`` or more on the day of ``now``."""
    query = "SELECT user FROM gpu_usage WHERE day = ? AND seconds >= ?"
    return frozenset(str(row[0]) for row in database.read(query, _day(now), limit_s))


def next_reset(now: datetime) -> datetime:
    """The midnight after ``now``, when counting starts again."""
    return now.replace(hour=0, minute=0, second=0, microsecond=0) + timedelta(days=1)


def _day(time: datetime) -> str:
    return time.date().isoformat()
