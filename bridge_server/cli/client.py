"""The command line's side of the contract: calls with errors translated, and a watch that survives reconnections."""

import contextlib
import time
from collections.abc import Callable, Iterable, Iterator
from types import TracebackType
from typing import Self, TypeVar

import grpc
from open3dforge.v1 import (
    catalogue_pb2,
    catalogue_pb2_grpc,
    jobs_pb2,
    jobs_pb2_grpc,
    server_pb2,
    server_pb2_grpc,
    transfers_pb2_grpc,
)

from bridge_server.cli.endpoint import HOW_TO_START, Endpoint
from bridge_server.cli.remote_errors import Disconnected, translate
from bridge_server.errors import ConnectionFailed

CALL_LIMIT_S = 30.0
CREATE_LIMIT_S = 300.0
"""The server reads every input before it answers."""
CONNECT_LIMIT_S = 5.0
PATIENCE_S = 120.0
"""How long a watch or a transfer tries to reach a server that it had reached before."""
FIRST_PAUSE_S, LONGEST_PAUSE_S = 0.2, 5.0
_MESSAGE_BYTES = 16 << 20

T = TypeVar("T")


class ForgeClient:
    """A connection to one server. Use it in a ``with`` statement."""

    def __init__(self, endpoint: Endpoint) -> None:
        self.endpoint = endpoint
        options = [("grpc.max_receive_message_length", _MESSAGE_BYTES), ("grpc.max_reconnect_backoff_ms", 2000)]
        if endpoint.tls:
            roots = endpoint.authority.read_bytes() if endpoint.authority else None
            self._channel = grpc.secure_channel(endpoint.address, grpc.ssl_channel_credentials(roots), options)
        else:
            self._channel = grpc.insecure_channel(endpoint.address, options)
        self.metadata = (("authorization", f"Bearer {endpoint.token}"),) if endpoint.token else ()
        self._jobs = jobs_pb2_grpc.JobServiceStub(self._channel)  # type: ignore[no-untyped-call]
        self._catalogue = catalogue_pb2_grpc.CatalogueServiceStub(self._channel)  # type: ignore[no-untyped-call]
        self._server = server_pb2_grpc.ServerServiceStub(self._channel)  # type: ignore[no-untyped-call]
        self.transfers = transfers_pb2_grpc.TransferServiceStub(self._channel)  # type: ignore[no-untyped-call]

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._channel.close()

    def connect(self) -> None:
        """Reach the server within ``CONNECT_LIMIT_S``. Raises ``ConnectionFailed``."""
        try:
            grpc.channel_ready_future(self._channel).result(timeout=CONNECT_LIMIT_S)
        except grpc.FutureTimeoutError as error:
            how = "with TLS" if self.endpoint.tls else "without TLS"
            message = f"no server answers there {how}."
            raise ConnectionFailed(message, subject=self.endpoint.address, remedy=HOW_TO_START) from error

    def create_job(self, request_id: str, spec: jobs_pb2.JobSpec) -> jobs_pb2.Job:
        """Queue a job; safe to repeat, so a broken connection is tried again."""
        request = jobs_pb2.CreateJobRequest(request_id=request_id, spec=spec)
        return self.persist(lambda: self._call(self._jobs.CreateJob, request, CREATE_LIMIT_S)).job

    def get_job(self, name: str) -> jobs_pb2.Job:
        """The job as it stands."""
        return self.persist(lambda: self._call(self._jobs.GetJob, jobs_pb2.GetJobRequest(name=job_name(name)))).job

    def list_jobs(self, states: Iterable[str], limit: int) -> list[jobs_pb2.Job]:
        """The newest jobs, page by page."""
        found: list[jobs_pb2.Job] = []
        token = ""
        wanted = list(states)
        while len(found) < limit:
            size = min(limit - len(found), 500)
            request = jobs_pb2.ListJobsRequest(page_size=size, page_token=token, states=wanted)
            page = self._call(self._jobs.ListJobs, request)
            found.extend(page.jobs)
            token = page.next_page_token
            if not token:
                break
        return found[:limit]

    def cancel_job(self, name: str) -> jobs_pb2.Job:
        """Ask the job to stop."""
        return self._call(self._jobs.CancelJob, jobs_pb2.CancelJobRequest(name=job_name(name))).job

    def retry_job(self, name: str) -> jobs_pb2.Job:
        """Queue the job again."""
        return self._call(self._jobs.RetryJob, jobs_pb2.RetryJobRequest(name=job_name(name))).job

    def watch(self, name: str, after: int = 0) -> Iterator[jobs_pb2.JobEvent]:
        """Every event after a sequence number, once and in order, across broken connections.

        Ends when the job has ended. Raises ``ConnectionFailed`` once the server was away for ``PATIENCE_S``.
        """
        seen = after
        pauses = _Pauses()
        while True:
            request = jobs_pb2.WatchJobRequest(name=job_name(name), after_sequence=seen)
            stream = self._jobs.WatchJob(request, metadata=self.metadata)
            try:
                with self.translated():
                    for response in stream:
                        pauses = _Pauses()
                        if response.event.sequence > seen:
                            seen = response.event.sequence
                            yield response.event
                return
            except Disconnected as broken:
                pauses.rest(broken)
            finally:
                stream.cancel()

    def list_presets(self) -> list[catalogue_pb2.Preset]:
        """All presets."""
        return list(self._call(self._catalogue.ListPresets, catalogue_pb2.ListPresetsRequest()).presets)

    def get_preset(self, name: str) -> catalogue_pb2.Preset:
        """One preset with its document."""
        return self._call(self._catalogue.GetPreset, catalogue_pb2.GetPresetRequest(name=preset_name(name))).preset

    def save_preset(self, document: str) -> catalogue_pb2.Preset:
        """Check and keep a preset."""
        return self._call(self._catalogue.SavePreset, catalogue_pb2.SavePresetRequest(document=document)).preset

    def delete_preset(self, name: str) -> None:
        """Remove a saved preset."""
        self._call(self._catalogue.DeletePreset, catalogue_pb2.DeletePresetRequest(name=preset_name(name)))

    def server_info(self) -> server_pb2.GetServerInfoResponse:
        """Version, devices, limits and quota."""
        return self._call(self._server.GetServerInfo, server_pb2.GetServerInfoRequest())

    def persist(self, call: Callable[[], T]) -> T:
        """Repeat a call that can safely be repeated while the connection is broken, within ``PATIENCE_S``."""
        pauses = _Pauses()
        while True:
            try:
                return call()
            except Disconnected as broken:
                pauses.rest(broken)

    @contextlib.contextmanager
    def translated(self) -> Iterator[None]:
        """Turn the errors of gRPC into ours; a broken connection becomes ``Disconnected``."""
        try:
            yield
        except grpc.RpcError as error:
            raise translate(error, self.endpoint.address) from error

    def _call(self, method: Callable[..., T], request: object, limit_s: float = CALL_LIMIT_S) -> T:
        with self.translated():
            return method(request, timeout=limit_s, metadata=self.metadata)


class _Pauses:
    """Growing pauses between attempts, up to a limit."""

    def __init__(self) -> None:
        self._since = time.monotonic()
        self._next_s = FIRST_PAUSE_S

    def rest(self, cause: ConnectionFailed) -> None:
        """Wait before the next attempt, or raise the cause when patience is at its end."""
        if time.monotonic() - self._since > PATIENCE_S:
            raise cause
        time.sleep(self._next_s)
        self._next_s = min(self._next_s * 2, LONGEST_PAUSE_S)


def job_name(name: str) -> str:
    """The full name of a job, from it or its bare id."""
    return name if name.startswith("jobs/") else f"jobs/{name}"


def preset_name(name: str) -> str:
    """The full name of a preset, from it or its bare name."""
    return name if name.startswith("presets/") else f"presets/{name}"
