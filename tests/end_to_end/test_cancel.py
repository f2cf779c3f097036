"""A job that is cancelled in the middle of a long stage stops at once, takes its processes along, and blocks nobody."""

import time
from collections.abc import Mapping

import psutil
import pytest
from open3dforge.v1 import jobs_pb2

from tests.end_to_end import input_files
from tests.end_to_end.workplace import TINY, Workplace, child_processes, until

SOON_S = 3.0
"""Two seconds until a stage that does not look up is ended by force, and what a busy machine adds."""
INTO_S = 0.4
LONG: Mapping[str, Mapping[str, object]] = {
    "generate": {"generate.resolution": 2048},
    "decimate": {"generate.resolution": 1024, "decimate.triangle_count": 60_000},
    "unwrap": {"decimate.triangle_count": 60_000},
    "trace": {"trace.resolution_px": 2048, "trace.supersample": 4},
    "bake_ao": {"bake_ao.samples": 4096, "bake_ao.coarseness": 1},
    "render": {"render.preview_px": 4096, "render.supersample": 4, "render.turntable_frames": 120},
}
"""What makes one stage long and leaves those before it short."""


@pytest.mark.slow
@pytest.mark.parametrize("stage", LONG)
def test_a_cancelled_stage_ends_soon_and_leaves_nothing(workplace: Workplace, inputs, stage: str) -> None:
    job = workplace.submit(input_files.vase_photo(inputs), settings={**TINY, **LONG[stage]})
    for event in workplace.client.watch(job.name):
        if event.stage_started.stage == stage:
            break
    time.sleep(INTO_S)
    assert workplace.client.get_job(job.name).state == jobs_pb2.JOB_STATE_RUNNING
    workplace.client.cancel_job(job.name)
    ended = jobs_pb2.JOB_STATE_CANCELLED
    taken_s = until(lambda: workplace.client.get_job(job.name).state == ended, SOON_S)
    print(f"{stage}: cancelled in {taken_s:.2f} s")
    states = {each.stage: each.state for each in workplace.client.get_job(job.name).stages}
    assert states[stage] != jobs_pb2.STAGE_STATE_FINISHED, "it was cancelled too late to tell"
    assert workplace.leftovers() == []
    until(lambda: all("executors.worker" in command for command in child_processes().values()), 1.0)
    assert len(child_processes()) <= 1
    assert busy_s(0.5) < 0.25, "nothing goes on computing"


def busy_s(during_s: float) -> float:
    """Processor seconds that the worker processes spend while nobody wants anything."""

    def spent() -> dict[int, float]:
        return {pid: sum(psutil.Process(pid).cpu_times()[:2]) for pid in child_processes()}

    before = spent()
    time.sleep(during_s)
    return sum(seconds - before.get(pid, 0.0) for pid, seconds in spent().items())


@pytest.mark.slow
def test_the_next_job_works(workplace: Workplace, inputs) -> None:
    job = workplace.submit(input_files.vase_photo(inputs), settings={**TINY, **LONG["generate"]})
    waiting = workplace.submit(input_files.binary_stl(inputs), settings={**TINY, "decimate.triangle_count": 350})
    workplace.client.cancel_job(job.name)
    assert workplace.ended(waiting).state == jobs_pb2.JOB_STATE_SUCCEEDED
    assert workplace.client.get_job(job.name).state == jobs_pb2.JOB_STATE_CANCELLED


def test_a_waiting_job_is_cancelled_before_it_begins(workplace: Workplace, inputs) -> None:
    first = workplace.submit(input_files.vase_photo(inputs), settings={**TINY, **LONG["generate"]})
    second = workplace.submit(input_files.binary_stl(inputs), settings=TINY)
    assert workplace.client.cancel_job(second.name).state == jobs_pb2.JOB_STATE_CANCELLED
    workplace.client.cancel_job(first.name)
    assert workplace.ended(first).state == jobs_pb2.JOB_STATE_CANCELLED
    kinds = [event.WhichOneof("kind") for event in workplace.client.watch(second.name)]
    assert set(kinds) == {"state_changed"}, "no stage of it ever began"
