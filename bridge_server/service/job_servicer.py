"""Jobs over gRPC."""

import threading
from collections.abc import Iterator

import grpc
from open3dforge.v1 import jobs_pb2, jobs_pb2_grpc

from bridge_server.errors import QuotaExceeded
from bridge_server.jobs.desk import JobDesk
from bridge_server.jobs.job import Job
from bridge_server.jobs.store import JobStore
from bridge_server.jobs.watch import watch
from bridge_server.service import convert
from bridge_server.service.auth import Gate
from bridge_server.service.names import bare, page_size

MOST_WATCHERS = 160
"""Each watcher keeps a thread of the server busy; further ones are refused so that other calls still get through."""


class JobServicer(jobs_pb2_grpc.JobServiceServicer):
    """Answers for the caller's own jobs."""

    def __init__(self, desk: JobDesk, store: JobStore, gate: Gate) -> None:
        self._desk = desk
        self._store = store
        self._gate = gate
        self._watchers = threading.BoundedSemaphore(MOST_WATCHERS)

    def CreateJob(  # noqa: N802 - the contract names it
        self, request: jobs_pb2.CreateJobRequest, context: grpc.ServicerContext
    ) -> jobs_pb2.CreateJobResponse:
        """Check and queue a job."""
        user = self._gate.user_calling(context)
        spec = convert.spec_value(request.spec)
        job = self._desk.create(user, request.request_id, spec, validate_only=request.validate_only)
        return jobs_pb2.CreateJobResponse(job=self._message(job))

    def GetJob(  # noqa: N802
        self, request: jobs_pb2.GetJobRequest, context: grpc.ServicerContext
    ) -> jobs_pb2.GetJobResponse:
        """One job."""
        job = self._desk.get(self._gate.user_calling(context), bare(request.name, "jobs"))
        return jobs_pb2.GetJobResponse(job=self._message(job))

    def ListJobs(  # noqa: N802
        self, request: jobs_pb2.ListJobsRequest, context: grpc.ServicerContext
    ) -> jobs_pb2.ListJobsResponse:
        """A page of jobs, the newest first."""
        states = {convert.state_value(state) for state in request.states if state != jobs_pb2.JOB_STATE_UNSPECIFIED}
        size = page_size(request.page_size, usual=50, most=500)
        page = self._store.page(self._gate.user_calling(context), states, size, request.page_token)
        usual = {preset: self._store.usual_s(preset) for preset in {job.preset for job in page.jobs}}
        now = self._store.now()
        jobs = [convert.job_message(job, usual[job.preset], now) for job in page.jobs]
        return jobs_pb2.ListJobsResponse(jobs=jobs, next_page_token=page.next_token)

    def CancelJob(  # noqa: N802
        self, request: jobs_pb2.CancelJobRequest, context: grpc.ServicerContext
    ) -> jobs_pb2.CancelJobResponse:
        """Ask a job to stop."""
        job = self._desk.cancel(self._gate.user_calling(context), bare(request.name, "jobs"))
        return jobs_pb2.CancelJobResponse(job=self._message(job))

    def RetryJob(  # noqa: N802
        self, request: jobs_pb2.RetryJobRequest, context: grpc.ServicerContext
    ) -> jobs_pb2.RetryJobResponse:
        """Queue a failed or cancelled job again."""
        job = self._desk.retry(self._gate.user_calling(context), bare(request.name, "jobs"))
        return jobs_pb2.RetryJobResponse(job=self._message(job))

    def DeleteJob(  # noqa: N802
        self, request: jobs_pb2.DeleteJobRequest, context: grpc.ServicerContext
    ) -> jobs_pb2.DeleteJobResponse:
        """Remove a job that has ended."""
        self._desk.delete(self._gate.user_calling(context), bare(request.name, "jobs"))
        return jobs_pb2.DeleteJobResponse()

    def WatchJob(  # noqa: N802
        self, request: jobs_pb2.WatchJobRequest, context: grpc.ServicerContext
    ) -> Iterator[jobs_pb2.WatchJobResponse]:
        """Stored events, then live ones."""
        job = self._desk.get(self._gate.user_calling(context), bare(request.name, "jobs"))
        if not self._watchers.acquire(blocking=False):
            raise QuotaExceeded(
                f"{MOST_WATCHERS} watchers are connected already.",
                subject=f"jobs/{job.id}",
                remedy="Ask again later, or ask GetJob now and then.",
                reason="TOO_MANY_WATCHERS",
            )
        try:
            gone = threading.Event()

            def leave() -> None:
                gone.set()
                self._store.wake_watchers()

            if not context.add_callback(leave):
                return
            for event in watch(self._store, job.id, request.after_sequence, gone):
                yield jobs_pb2.WatchJobResponse(event=convert.event_message(event))
        finally:
            self._watchers.release()

    def _message(self, job: Job) -> jobs_pb2.Job:
        return convert.job_message(job, self._store.usual_s(job.preset), self._store.now())
