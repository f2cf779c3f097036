"""Jobs over gRPC: created once, watched exactly, cancelled, retried, deleted."""

import threading
import time
from collections.abc import Callable
from pathlib import Path

import grpc
import pytest
from open3dforge.v1 import jobs_pb2

from tests.service.calls import TIMEOUT_S, Calls, told
from tests.service.conftest import Serve

SUCCEEDED, FAILED = jobs_pb2.JOB_STATE_SUCCEEDED, jobs_pb2.JOB_STATE_FAILED
CANCELLED, RUNNING, QUEUED = (
    jobs_pb2.JOB_STATE_CANCELLED,
    jobs_pb2.JOB_STATE_RUNNING,
    jobs_pb2.JOB_STATE_QUEUED,
)


def wait_for(condition: Callable[[], bool], limit_s: float = 5.0) -> None:
    deadline = time.monotonic() + limit_s
    while not condition():
        assert time.monotonic() < deadline, "waited in vain"
        time.sleep(0.01)


def test_a_job_runs_and_says_everything(calls: Calls) -> None:
    job = calls.create("seconds=0.1", asset_name="Cup")
    assert job.name.startswith("jobs/")
    assert (job.state, job.preset, job.asset_name) == (QUEUED, "toy", "Cup")
    assert [stage.stage for stage in job.stages] == ["matte", "generate", "export"]
    events = list(calls.watch(job.name))
    assert [event.sequence for event in events] == list(range(1, len(events) + 1))
    states = [event.state_changed.state for event in events if event.HasField("state_changed")]
    assert states == [QUEUED, RUNNING, SUCCEEDED]
    done = calls.get(job.name)
    assert done.state == SUCCEEDED
    assert done.last_sequence == len(events)
    assert done.fraction == 1.0
    assert done.thumbnail_available
    assert [stage.state for stage in done.stages] == [jobs_pb2.STAGE_STATE_FINISHED] * 3
    assert all(0.1 <= stage.seconds < 1.0 for stage in done.stages)
    assert done.checklist.verdict == jobs_pb2.VERDICT_WARN
    assert [(notice.code, notice.stage) for notice in done.notices] == [("toy", "export")]
    assert done.create_time.ToDatetime() <= done.start_time.ToDatetime() <= done.end_time.ToDatetime()


def test_the_same_request_makes_one_job(calls: Calls) -> None:
    upload = calls.upload(b"a photo")
    first = calls.create(request_id="r-1", upload=upload)
    again = calls.create(request_id="r-1", upload=upload)
    assert again.name == first.name
    with pytest.raises(grpc.RpcError) as refused:
        calls.create(request_id="r-1", upload=upload, name="Other")
    assert told(refused.value)[:2] == (grpc.StatusCode.FAILED_PRECONDITION, "CONFLICT")
    other = calls.create(request_id="r-2", upload=upload)
    assert other.name != first.name


def test_many_senders_of_one_request_make_one_job(calls: Calls) -> None:
    upload = calls.upload(b"a photo")
    names: list[str] = []
    threads = [
        threading.Thread(target=lambda: names.append(calls.create(request_id="same", upload=upload).name))
        for _ in range(12)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(names) == 12
    assert len(set(names)) == 1
    assert len(calls.jobs.ListJobs(jobs_pb2.ListJobsRequest()).jobs) == 1


def test_watchers_that_come_and_go_see_every_event_once(calls: Calls) -> None:
    job = calls.create("seconds=0.5")
    seen: dict[int, list[jobs_pb2.JobEvent]] = {index: [] for index in range(24)}

    def follow(index: int) -> None:
        """Leave after a few events and come back, until the job has ended."""
        got = seen[index]
        while not got or got[-1].state_changed.state != SUCCEEDED:
            request = jobs_pb2.WatchJobRequest(name=job.name, after_sequence=got[-1].sequence if got else 0)
            stream = calls.jobs.WatchJob(request, timeout=TIMEOUT_S)
            for count, answer in enumerate(stream):
                got.append(answer.event)
                if count == index:
                    stream.cancel()
                    break

    threads = [threading.Thread(target=follow, args=(index,)) for index in seen]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(TIMEOUT_S)
    expected = list(calls.watch(job.name))
    assert len(expected) > 12
    assert all(events == expected for events in seen.values())


def test_watching_from_a_number_that_is_not_there_yet_is_refused(calls: Calls) -> None:
    job = calls.finish(calls.create().name)
    assert list(calls.watch(job.name, after=job.last_sequence)) == []
    with pytest.raises(grpc.RpcError) as refused:
        list(calls.watch(job.name, after=job.last_sequence + 1))
    assert told(refused.value)[1] == "OUT_OF_RANGE"


def test_a_running_job_is_cancelled_at_its_next_checkpoint(calls: Calls) -> None:
    job = calls.create("seconds=3000")  # far longer than the test may take
    wait_for(lambda: calls.get(job.name).state == RUNNING)
    calls.jobs.CancelJob(jobs_pb2.CancelJobRequest(name=job.name))
    ended = calls.finish(job.name)
    assert ended.state == CANCELLED
    assert not ended.HasField("error")


def test_a_queued_job_is_cancelled_at_once_and_never_starts(calls: Calls) -> None:
    first = calls.create("seconds=0.3")
    second = calls.create()
    cancelled = calls.jobs.CancelJob(jobs_pb2.CancelJobRequest(name=second.name)).job
    assert cancelled.state == CANCELLED
    assert calls.finish(first.name).state == SUCCEEDED
    assert calls.get(second.name).attempt == 0


def test_a_failed_job_tells_why_and_can_be_retried(calls: Calls) -> None:
    job = calls.finish(calls.create("fail=STAGE_FAILED").name)
    assert job.state == FAILED
    error = job.error
    assert (error.code, error.message, error.subject, error.remedy, error.stage) == (
        "STAGE_FAILED",
        "the toy broke.",
        "toy",
        "Glue it.",
        "generate",
    )
    assert job.stages[1].state == jobs_pb2.STAGE_STATE_FAILED
    calls.jobs.RetryJob(jobs_pb2.RetryJobRequest(name=job.name))
    again = calls.finish(job.name)
    assert again.attempt == 2
    assert again.stages[0].cached
    with pytest.raises(grpc.RpcError) as refused:
        calls.jobs.RetryJob(jobs_pb2.RetryJobRequest(name=calls.finish(calls.create().name).name))
    assert told(refused.value)[1] == "CONFLICT"


def test_a_full_disk_fails_the_job_and_the_server_goes_on(calls: Calls) -> None:
    job = calls.finish(calls.create("disk_full=1").name)
    assert (job.state, job.error.code) == (FAILED, "DISK_FULL")
    assert calls.finish(calls.create().name).state == SUCCEEDED


def test_a_fault_of_ours_fails_the_job_and_the_server_goes_on(calls: Calls) -> None:
    job = calls.finish(calls.create("bug=1").name)
    assert (job.state, job.error.code) == (FAILED, "INTERNAL_ERROR")
    assert "ZeroDivisionError" in job.error.message
    assert calls.finish(calls.create().name).state == SUCCEEDED


def test_a_deleted_job_is_gone_with_its_files(calls: Calls, tmp_path: Path) -> None:
    job = calls.create("seconds=0.3")
    wait_for(lambda: calls.get(job.name).state == RUNNING)
    with pytest.raises(grpc.RpcError) as refused:
        calls.jobs.DeleteJob(jobs_pb2.DeleteJobRequest(name=job.name))
    assert told(refused.value)[1] == "CONFLICT"
    calls.finish(job.name)
    folder = tmp_path / "data" / "jobs" / job.name.removeprefix("jobs/")
    assert folder.is_dir()
    calls.jobs.DeleteJob(jobs_pb2.DeleteJobRequest(name=job.name))
    assert not folder.exists()
    for call in (lambda: calls.get(job.name), lambda: list(calls.watch(job.name))):
        with pytest.raises(grpc.RpcError) as gone:
            call()
        assert told(gone.value)[:2] == (grpc.StatusCode.NOT_FOUND, "NOT_FOUND")


def test_jobs_are_listed_by_page_and_state_the_newest_first(calls: Calls) -> None:
    names = [calls.finish(calls.create(*wishes).name).name for wishes in ((), ("fail=X",), (), ("fail=X",), ())]
    listed, token = [], ""
    while True:
        page = calls.jobs.ListJobs(jobs_pb2.ListJobsRequest(page_size=2, page_token=token))
        listed += [job.name for job in page.jobs]
        token = page.next_page_token
        if not token:
            break
    assert listed == names[::-1]
    failed = calls.jobs.ListJobs(jobs_pb2.ListJobsRequest(states=[FAILED])).jobs
    assert [job.name for job in failed] == [names[3], names[1]]
    for request in (jobs_pb2.ListJobsRequest(page_size=-1), jobs_pb2.ListJobsRequest(page_token="x' OR 1=1")):
        with pytest.raises(grpc.RpcError) as refused:
            calls.jobs.ListJobs(request)
        assert told(refused.value)[0] == grpc.StatusCode.INVALID_ARGUMENT


def test_time_left_comes_from_past_jobs(calls: Calls) -> None:
    first = calls.create("seconds=0.3")
    wait_for(lambda: calls.get(first.name).state == RUNNING)
    assert not calls.get(first.name).HasField("eta_seconds")
    calls.finish(first.name)
    second = calls.create("seconds=0.3")
    wait_for(lambda: calls.get(second.name).stages[1].state == jobs_pb2.STAGE_STATE_RUNNING)
    running = calls.get(second.name)
    assert 0.2 < running.eta_seconds < 0.7
    assert 0.3 < running.fraction < 0.7


def test_higher_priority_goes_first(calls: Calls) -> None:
    blocker = calls.create("seconds=0.3")
    low = calls.create(name="Low", priority=-5)
    high = calls.create(name="High", priority=5)
    for job in (blocker, low, high):
        calls.finish(job.name)
    assert calls.get(high.name).start_time.ToDatetime() < calls.get(low.name).start_time.ToDatetime()


@pytest.mark.parametrize(
    ("spec", "part"),
    [
        (jobs_pb2.JobSpec(preset="toy"), "inputs"),
        (jobs_pb2.JobSpec(preset="toy", photos=[{"upload": "uploads/none-there"}]), "none-there"),
        (jobs_pb2.JobSpec(preset="toy", photos=[{"upload": "UP"}] * 5), "inputs"),
        (jobs_pb2.JobSpec(preset="toy", photos=[{"upload": "UP"}] * 2), "inputs"),
        (jobs_pb2.JobSpec(preset="toy", photos=[{"upload": "UP", "view": "VIEW_BACK"}]), "inputs"),
        (jobs_pb2.JobSpec(preset="toy", photos=[{"upload": "UP"}], priority=1000), "priority"),
        (jobs_pb2.JobSpec(preset="toy", photos=[{"upload": "UP"}], mesh={"upload": "UP"}), "inputs"),
        (jobs_pb2.JobSpec(photos=[{"upload": "UP"}]), "name"),
        (jobs_pb2.JobSpec(preset="../x/y", photos=[{"upload": "UP"}]), "name"),
        (jobs_pb2.JobSpec(preset="toy", photos=[{"upload": "UP"}], asset_name="../evil"), "asset name"),
        (jobs_pb2.JobSpec(preset="toy", photos=[{"upload": "UP"}], asset_name="NUL"), "asset name"),
        (jobs_pb2.JobSpec(preset="toy", photos=[{"upload": "UP"}], asset_name="Tasse_ä"), "asset name"),
        (
            jobs_pb2.JobSpec(
                preset="toy", mesh={"upload": "UP", "companions": [{"path": "../../etc/passwd", "upload": "UP"}]}
            ),
            "companion",
        ),
    ],
)
def test_a_bad_job_is_refused_at_once_and_leaves_nothing(
    shared: tuple[Calls, Path], spec: jobs_pb2.JobSpec, part: str
) -> None:
    calls, data = shared
    upload = calls.upload(b"a photo")
    for photo in spec.photos:
        photo.upload = photo.upload.replace("UP", upload)
    if spec.HasField("mesh"):
        spec.mesh.upload = upload
    with pytest.raises(grpc.RpcError) as refused:
        calls.jobs.CreateJob(jobs_pb2.CreateJobRequest(spec=spec), timeout=TIMEOUT_S)
    code, _, metadata = told(refused.value)
    assert code in (grpc.StatusCode.INVALID_ARGUMENT, grpc.StatusCode.NOT_FOUND)
    assert part in metadata["subject"]
    assert list((data / "jobs").iterdir()) == []


def test_checking_only_queues_nothing(calls: Calls, tmp_path: Path) -> None:
    upload = calls.upload(b"a photo", file_name="coffee cup.png")
    spec = jobs_pb2.JobSpec(preset="toy", photos=[{"upload": upload}])
    job = calls.jobs.CreateJob(jobs_pb2.CreateJobRequest(spec=spec, validate_only=True)).job
    assert (job.name, job.asset_name) == ("", "CoffeeCup")
    assert len(calls.jobs.ListJobs(jobs_pb2.ListJobsRequest()).jobs) == 0
    assert list((tmp_path / "data" / "jobs").iterdir()) == []


def test_gpu_seconds_are_counted_and_limited(serve: Serve, connect: Callable[..., Calls]) -> None:
    calls = connect(serve(gpu_seconds_a_day=25.0).address)
    first = calls.finish(calls.create("gpu=1").name)
    assert first.gpu_seconds == 30.0
    with pytest.raises(grpc.RpcError) as refused:
        calls.create("gpu=1")
    code, reason, metadata = told(refused.value)
    assert (code, reason) == (grpc.StatusCode.RESOURCE_EXHAUSTED, "QUOTA_EXCEEDED")
    assert "UTC" in metadata["remedy"]
    assert calls.finish(calls.create().name).state == SUCCEEDED, "work on the CPU counts 0"


def test_gpu_work_waits_in_the_queue_once_the_quota_is_spent(serve: Serve, connect: Callable[..., Calls]) -> None:
    calls = connect(serve(gpu_seconds_a_day=25.0).address)
    first = calls.create("gpu=1", "seconds=0.1")
    second = calls.create("gpu=1")
    cpu = calls.create()
    assert calls.finish(first.name).state == SUCCEEDED
    assert calls.finish(cpu.name).state == SUCCEEDED
    wait_for(lambda: any(notice.code == "quota_wait" for notice in calls.get(second.name).notices))
    assert calls.get(second.name).state == QUEUED
