"""Following the events of a job: stored ones first, then live ones, each exactly once and in order."""

import threading
from collections.abc import Iterator

from bridge_server.errors import ConnectionFailed, InputError
from bridge_server.jobs.events import JobEvent
from bridge_server.jobs.store import JobStore


def watch(store: JobStore, job_id: str, after: int, gone: threading.Event) -> Iterator[JobEvent]:
    """Every event with a number above ``after``, until the job has ended and its last event was yielded.

    The database is the only source, also for live events; what is in memory merely says when to look again. Setting
    ``gone`` and calling ``store.wake_watchers`` ends the iteration early. Raises ``NotFound`` where the job is not
    there or is deleted meanwhile, ``InputError`` for a number that no event has yet, ``ConnectionFailed`` where the
    server stops before the job ends.
    """
    last = store.get(job_id).last_sequence
    if not 0 <= after <= last:
        raise InputError(f"the job has events 1 to {last}.", subject=f"after_sequence {after}", reason="OUT_OF_RANGE")
    while not gone.is_set():
        closing = store.closing  # asked first: what a stopping server stores last is stored before it says so
        events = store.events_after(job_id, after)
        for event in events:
            yield event
            after = event.sequence
        if events:
            continue
        job = store.get(job_id)
        if job.state.ended and job.last_sequence <= after:
            return
        if closing:
            remedy = f"Watch again from event {after} on when the server is back."
            raise ConnectionFailed("the server stops.", subject=f"jobs/{job_id}", remedy=remedy)
        store.wait_for_event(job_id, after, gone)
