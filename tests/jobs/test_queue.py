"""The queue without a server: what is stored, what a crash leaves, what a full disk does."""

import sqlite3
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from bridge_server.errors import Cancelled, Conflict, ConnectionFailed, DiskFull, NotFound, StoreError
from bridge_server.jobs.artifacts import JobFolders
from bridge_server.jobs.database import Database
from bridge_server.jobs.events import Happening, StageFinished, StageProgressed, StageStarted, StateChanged
from bridge_server.jobs.job import Job, JobSpec, JobState, Outcome, PhotoInput, StageProgress
from bridge_server.jobs.scheduler import Assignment, Scheduler, Work
from bridge_server.jobs.store import JobStore
from bridge_server.jobs.uploads import Announcement, UploadLimits, Uploads
from bridge_server.jobs.watch import watch
from bridge_server.values.image import View

NOON = datetime(2026, 5, 1, 12, tzinfo=UTC)


def draft(**changes: object) -> Job:
    spec = JobSpec(photos=(PhotoInput(upload="u", view=View.FRONT),), preset="p")
    fields = {
        "id": "",
        "number": 0,
        "user": "ann",
        "request_id": "",
        "spec": spec,
        "inputs": (),
        "asset_name": "Cup",
        "asset_type": "static_mesh",
        "preset": "p",
        "uses_gpu": False,
        "created": NOON,
        "stages": (StageProgress(stage="a"), StageProgress(stage="b")),
    }
    return Job(**{**fields, **changes})


@pytest.fixture
def database(tmp_path: Path) -> Iterator[Database]:
    opened = Database(tmp_path)
    yield opened
    opened.close()


@pytest.fixture
def store(database: Database) -> JobStore:
    return JobStore(database)


@pytest.fixture
def schedule(database: Database, store: JobStore, tmp_path: Path) -> Iterator[Callable[..., Scheduler]]:
    started: list[Scheduler] = []

    def start(work: Work, **options: object) -> Scheduler:
        scheduler = Scheduler(store, JobFolders(database, tmp_path / "jobs"), work, **options)
        scheduler.start()
        started.append(scheduler)
        return scheduler

    yield start
    for scheduler in started:
        scheduler.stop(1.0)


def wait_for(store: JobStore, job_id: str, *states: JobState) -> Job:
    deadline = time.monotonic() + 5
    while (job := store.get(job_id)).state not in states:
        assert time.monotonic() < deadline, job
        time.sleep(0.01)
    return job


def nothing(assignment: Assignment, on_event: Callable[[Happening], None], cancel: threading.Event) -> Outcome:
    assignment.folder.mkdir(parents=True, exist_ok=True)
    return Outcome()


def patient(assignment: Assignment, on_event: Callable[[Happening], None], cancel: threading.Event) -> Outcome:
    on_event(StageStarted(stage="a", index=0, count=2))
    cancel.wait(10)
    raise Cancelled


def test_what_is_stored_comes_back_equal(store: JobStore, database: Database) -> None:
    job = store.create(draft(), "payload")
    store.change(job.id, lambda _: (StateChanged(state=JobState.RUNNING, attempt=1),))
    store.change(job.id, lambda _: (StageStarted(stage="a", index=0, count=2),))
    job = store.change(job.id, lambda _: (StageProgressed(stage="a", fraction=0.25, note="ä\n\u2028"),))
    assert JobStore(database).get(job.id) == job
    assert job.running_stage == "a"
    assert [event.sequence for event in store.events_after(job.id, 0)] == [1, 2, 3, 4]


def test_a_change_that_fails_halfway_changes_nothing(store: JobStore) -> None:
    job = store.create(draft(), "payload")

    def broken(_: Job) -> Iterator[Happening]:
        yield StageStarted(stage="a", index=0, count=2)
        raise Conflict("no")

    with pytest.raises(Conflict):
        store.change(job.id, broken)
    assert store.get(job.id) == job
    assert len(store.events_after(job.id, 0)) == 1


def test_event_numbers_are_gapless_under_many_writers(store: JobStore) -> None:
    job = store.create(draft(), "payload")
    seen: list[int] = []
    gone = threading.Event()
    follower = threading.Thread(
        target=lambda: seen.extend(event.sequence for event in watch(store, job.id, 0, gone)), daemon=True
    )
    follower.start()

    def write() -> None:
        for _ in range(20):
            store.change(job.id, lambda _: (StageProgressed(stage="a", fraction=0.5),))

    writers = [threading.Thread(target=write) for _ in range(6)]
    for writer in writers:
        writer.start()
    for writer in writers:
        writer.join()
    store.change(job.id, lambda _: (StateChanged(state=JobState.SUCCEEDED, attempt=1),))
    follower.join(5)
    assert seen == list(range(1, 123))


def test_watching_ends_when_the_watcher_goes(store: JobStore) -> None:
    job = store.create(draft(), "payload")
    gone = threading.Event()
    events = watch(store, job.id, 0, gone)
    assert next(events).sequence == 1
    threading.Timer(0.1, lambda: (gone.set(), store.wake_watchers())).start()
    assert list(events) == []  # else it would wait for the next event for ever


def test_what_a_stopping_server_stores_last_is_still_told(store: JobStore, monkeypatch: pytest.MonkeyPatch) -> None:
    job = store.create(draft(), "payload")
    events = watch(store, job.id, 0, threading.Event())
    next(events)
    get = store.get

    def get_while_the_server_stops(job_id: str) -> Job:
        """After the watcher has looked for events, and before it looks whether the server stops."""
        monkeypatch.undo()
        store.change(job_id, lambda _: (StageProgressed(stage="a", fraction=0.5),))
        store.close_watches()
        return get(job_id)

    monkeypatch.setattr(store, "get", get_while_the_server_stops)
    assert next(events).sequence == 2
    with pytest.raises(ConnectionFailed):
        next(events)


def test_deleting_a_job_sends_its_watchers_away(store: JobStore) -> None:
    job = store.create(draft(), "payload")
    events = watch(store, job.id, 0, threading.Event())
    next(events)
    store.change(job.id, lambda _: (StateChanged(state=JobState.CANCELLED, attempt=0),))
    store.delete(job.id)
    with pytest.raises(NotFound):
        list(events)


@pytest.mark.parametrize(("crashes", "state"), [(0, JobState.QUEUED), (1, JobState.QUEUED), (2, JobState.FAILED)])
def test_a_crash_puts_the_job_back_until_the_third(
    store: JobStore, database: Database, tmp_path: Path, crashes: int, state: JobState
) -> None:
    job = store.create(draft(crashes=crashes), "payload")
    store.change(job.id, lambda _: (StateChanged(state=JobState.RUNNING, attempt=1),))
    store.change(job.id, lambda _: (StageStarted(stage="a", index=0, count=2),))
    scheduler = Scheduler(store, JobFolders(database, tmp_path / "jobs"), nothing, concurrent=0)
    scheduler.start()
    found = store.get(job.id)
    assert (found.state, found.crashes) == (state, crashes + 1)
    if state is JobState.FAILED:
        assert found.error is not None
        assert (found.error.code, found.error.stage) == ("SERVER_CRASHED", "a")


def test_a_crash_after_cancelling_ends_the_job(store: JobStore, database: Database, tmp_path: Path) -> None:
    job = store.create(draft(), "payload")
    store.change(job.id, lambda _: (StateChanged(state=JobState.RUNNING, attempt=1),))
    store.update(job.id, lambda now: replace(now, cancel_requested=True))
    Scheduler(store, JobFolders(database, tmp_path / "jobs"), nothing, concurrent=0).start()
    assert store.get(job.id).state is JobState.CANCELLED


def test_a_stopped_scheduler_gives_its_job_back_without_a_crash(
    store: JobStore, schedule: Callable[..., Scheduler]
) -> None:
    scheduler = schedule(patient)
    job = store.create(draft(), "payload")
    scheduler.wake()
    wait_for(store, job.id, JobState.RUNNING)
    scheduler.stop(2.0)
    found = store.get(job.id)
    assert (found.state, found.crashes) == (JobState.QUEUED, 0)


def test_work_that_does_not_listen_cannot_change_a_job_given_back(
    store: JobStore, schedule: Callable[..., Scheduler]
) -> None:
    free = threading.Event()

    def deaf(assignment: Assignment, on_event: Callable[[Happening], None], cancel: threading.Event) -> Outcome:
        free.wait(5)
        on_event(StageFinished(stage="a", seconds=1.0))
        return nothing(assignment, on_event, cancel)

    scheduler = schedule(deaf)
    job = store.create(draft(), "payload")
    scheduler.wake()
    wait_for(store, job.id, JobState.RUNNING)
    scheduler.stop(0.1)
    given_back = store.get(job.id)
    assert given_back.state is JobState.QUEUED
    free.set()
    time.sleep(0.2)
    assert store.get(job.id) == given_back


def test_several_jobs_run_at_once_each_once(store: JobStore, schedule: Callable[..., Scheduler]) -> None:
    together = threading.Barrier(3, timeout=5)
    ran: list[str] = []

    def meet(assignment: Assignment, on_event: Callable[[Happening], None], cancel: threading.Event) -> Outcome:
        ran.append(assignment.job.id)
        together.wait()
        return nothing(assignment, on_event, cancel)

    jobs = [store.create(draft(), "payload") for _ in range(6)]
    schedule(meet, concurrent=3)
    for job in jobs:
        wait_for(store, job.id, JobState.SUCCEEDED)
    assert sorted(ran) == sorted(job.id for job in jobs)


def test_an_end_that_the_disk_does_not_take_is_stored_later(
    store: JobStore, schedule: Callable[..., Scheduler], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The disk is full when the job ends; once there is room again, the end is stored and the next job runs."""
    monkeypatch.setattr("bridge_server.jobs.scheduler.RETRY_S", 0.05)
    change, refusals = store.change, 3

    def full(job_id: str, decide: Callable[[Job], tuple[Happening, ...]]) -> Job:
        nonlocal refusals
        happened = decide(store.get(job_id))
        ends = any(isinstance(each, StateChanged) and each.state.ended for each in happened)
        if ends and refusals:
            refusals -= 1
            raise DiskFull("the job database cannot grow.")
        return change(job_id, decide)

    monkeypatch.setattr(store, "change", full)
    jobs = [store.create(draft(), "payload") for _ in range(2)]
    schedule(nothing)
    wait_for(store, jobs[0].id, JobState.SUCCEEDED)
    wait_for(store, jobs[1].id, JobState.SUCCEEDED)
    assert refusals == 0


def test_a_full_database_is_told_as_a_full_disk(database: Database, store: JobStore) -> None:
    with database.transaction() as rows:
        pages = rows.execute("PRAGMA page_count").fetchone()[0]
    database.read(f"PRAGMA max_page_count = {pages}")
    made = []
    with pytest.raises(DiskFull):
        made.extend(store.create(draft(asset_name="x" * 500), "payload") for _ in range(200))
    database.read("PRAGMA max_page_count = 1000000")
    assert [store.get(job.id) for job in made] == made
    store.create(draft(), "payload")


def test_usage_is_counted_by_user_and_day(database: Database) -> None:
    time_now = NOON
    store = JobStore(database, now=lambda: time_now)
    for user, seconds in (("ann", 10.0), ("ann", 5.0), ("bob", 1.0)):
        job = store.create(draft(user=user), "payload")
        store.change(job.id, lambda _, s=seconds: (StageFinished(stage="a", seconds=s, gpu_seconds=s),))
        store.change(job.id, lambda _: (StageFinished(stage="b", seconds=9.0, cached=True, gpu_seconds=9.0),))
    assert (store.gpu_seconds_today("ann"), store.gpu_seconds_today("bob")) == (15.0, 1.0)
    assert store.users_over(15.0) == {"ann"}
    assert store.usual_s("p") == {"a": 5.0}, "the median; results from the store teach nothing"
    time_now = NOON + timedelta(days=1)
    assert store.gpu_seconds_today("ann") == 0.0


def test_estimates_follow_the_latest_runs(store: JobStore) -> None:
    job = store.create(draft(), "payload")
    for seconds in [100.0] * 5 + [1.0] * 10:
        store.change(job.id, lambda _, s=seconds: (StageFinished(stage="a", seconds=s),))
    assert store.usual_s("p") == {"a": 1.0}


def test_a_database_of_another_version_or_kind_is_refused(tmp_path: Path) -> None:
    Database(tmp_path / "new").close()
    with sqlite3.connect(tmp_path / "new" / "jobs.sqlite3") as connection:
        connection.execute("PRAGMA user_version = 99")
    with pytest.raises(StoreError, match="another version"):
        Database(tmp_path / "new")
    (tmp_path / "bad").mkdir()
    (tmp_path / "bad" / "jobs.sqlite3").write_bytes(b"this is no database" * 100)
    with pytest.raises(StoreError):
        Database(tmp_path / "bad")


def test_uploads_expire_and_strays_go(database: Database, tmp_path: Path) -> None:
    now = NOON
    limits = UploadLimits(file_bytes=100, total_bytes=1000, expiry=timedelta(hours=1))
    uploads = Uploads(database, tmp_path / "uploads", limits, lambda: now)
    digest = "2d711642b726b04401627ca9fbac32f5c8530fb1903cc4db02258717921a4881"
    announced = Announcement(upload_id="file-1", file_name="x", size_bytes=1, sha256=digest)
    upload = uploads.receive("ann", announced, 0, [b"x"])
    (tmp_path / "uploads" / "stray").write_text("left by a crash")
    assert uploads.expire() == 1
    assert upload.path.exists()
    now = NOON + timedelta(hours=2)
    assert uploads.expire() == 1
    assert not upload.path.exists()
    with pytest.raises(NotFound):
        uploads.get("ann", "file-1")


def test_a_newer_sender_takes_over_an_upload(database: Database, tmp_path: Path) -> None:
    limits = UploadLimits(file_bytes=100, total_bytes=1000, expiry=timedelta(hours=1))
    uploads = Uploads(database, tmp_path / "uploads", limits, lambda: NOON)
    digest = "fb8e20fc2e4c3f248c60c39bd652f3c1347298bb977b8b4d5903b85055620603"
    announced = Announcement(upload_id="file-1", file_name="x", size_bytes=2, sha256=digest)
    finished = []

    def slow() -> Iterator[bytes]:
        yield b"a"
        finished.append(uploads.receive("ann", announced, 1, [b"b"]))
        yield b"b"

    with pytest.raises(Conflict):
        uploads.receive("ann", announced, 0, slow())
    assert finished[0].complete
    assert finished[0].path.read_bytes() == b"ab"
