"""The server, over gRPC. The only file of the plugin that imports grpc; never called on the game thread."""

import hashlib
import ipaddress
import uuid
import zipfile
from collections.abc import Callable, Iterator
from pathlib import Path

import grpc
from google.rpc import error_details_pb2, status_pb2
from open3dforge.v1 import (
    catalogue_pb2,
    catalogue_pb2_grpc,
    jobs_pb2,
    jobs_pb2_grpc,
    server_pb2,
    server_pb2_grpc,
    transfers_pb2,
    transfers_pb2_grpc,
)

from open3dforge_editor.job_list import ForgeRequest, Phase
from open3dforge_editor.server_types import JobStatus, PresetChoice, ServerError, ServerSummary, Stopped

CHUNK_BYTES = 256 * 1024
CALL_S = 15.0
TRIES = 5
STATUS_DETAILS = "grpc-status-details-bin"

PHASES = {
    jobs_pb2.JOB_STATE_QUEUED: Phase.QUEUED,
    jobs_pb2.JOB_STATE_RUNNING: Phase.RUNNING,
    jobs_pb2.JOB_STATE_SUCCEEDED: Phase.DOWNLOADING,
    jobs_pb2.JOB_STATE_FAILED: Phase.FAILED,
    jobs_pb2.JOB_STATE_CANCELLED: Phase.CANCELLED,
}


class ForgeServer:
    """Calls to one server. Safe from several threads; ``close`` ends whatever is under way."""

    def __init__(self, address: str, token: str = "", certificate: str = "") -> None:
        self.address = address
        self._metadata = (("authorization", f"Bearer {token}"),) if token else ()
        options = [("grpc.keepalive_time_ms", 20_000), ("grpc.enable_http_proxy", 0)]
        if certificate or not is_loopback(address):
            authority = Path(certificate).read_bytes() if certificate else None
            self._channel = grpc.secure_channel(address, grpc.ssl_channel_credentials(authority), options)
        else:
            self._channel = grpc.insecure_channel(address, options)
        self._jobs = jobs_pb2_grpc.JobServiceStub(self._channel)
        self._transfers = transfers_pb2_grpc.TransferServiceStub(self._channel)
        self._catalogue = catalogue_pb2_grpc.CatalogueServiceStub(self._channel)
        self._server = server_pb2_grpc.ServerServiceStub(self._channel)

    def close(self) -> None:
        """Hang up; calls under way end with an error."""
        self._channel.close()

    def summary(self) -> ServerSummary:
        """Who answers there."""
        info = self._call(self._server.GetServerInfo, server_pb2.GetServerInfoRequest())
        quota = "unlimited"
        if info.quota.limited:
            quota = f"{info.quota.used_gpu_seconds:.0f} of {info.quota.limit_gpu_seconds:.0f} GPU seconds used today"
        devices = ", ".join(f"{device.device} {device.model}".strip() for device in info.devices)
        return ServerSummary(info.version, devices, info.queued_jobs, info.running_jobs, quota)

    def presets(self) -> tuple[PresetChoice, ...]:
        """All presets that the server has."""
        answer = self._call(self._catalogue.ListPresets, catalogue_pb2.ListPresetsRequest())
        return tuple(PresetChoice(preset.name, preset.description) for preset in answer.presets)

    def submit(self, request: ForgeRequest, request_id: str, stopped: Callable[[], bool]) -> str:
        """Upload the files and create the job; the same ``request_id`` never makes a second one."""
        spec = jobs_pb2.JobSpec(preset=request.preset, asset_name=request.asset_name)
        for setting, value in request.overrides:
            spec.overrides.add(setting=setting, value=value)
        for path, view in request.photos:
            upload = self._upload(path, f"{request_id}/{path}/{view}", stopped)
            spec.photos.add(upload=upload, view=jobs_pb2.View.Value(f"VIEW_{view.upper()}"))
        if request.mesh is not None:
            spec.mesh.upload = self._upload(request.mesh, f"{request_id}/{request.mesh}", stopped)
        made = self._call(
            self._jobs.CreateJob, jobs_pb2.CreateJobRequest(request_id=request_id, spec=spec), tries=TRIES
        )
        return str(made.job.name)

    def watch(self, job: str, after_sequence: int) -> Iterator[int]:
        """Sequence numbers of the job's events as they come; ends when the job has ended."""
        stream = self._jobs.WatchJob(
            jobs_pb2.WatchJobRequest(name=job, after_sequence=after_sequence), metadata=self._metadata
        )
        try:
            for answer in stream:
                yield answer.event.sequence
        except grpc.RpcError as error:
            raise explained(error, self.address) from error

    def status(self, job: str) -> JobStatus:
        """The job now."""
        found = self._call(self._jobs.GetJob, jobs_pb2.GetJobRequest(name=job), tries=TRIES).job
        running = [stage.stage for stage in found.stages if stage.state == jobs_pb2.STAGE_STATE_RUNNING]
        message = ""
        if found.state == jobs_pb2.JOB_STATE_FAILED:
            error = found.error
            message = " ".join(
                part for part in (f"{error.subject}:" if error.subject else "", error.message, error.remedy) if part
            )
        return JobStatus(
            phase=PHASES.get(found.state, Phase.QUEUED),
            stage=running[0] if running else "",
            fraction=found.fraction,
            eta_s=found.eta_seconds if found.HasField("eta_seconds") else None,
            message=message,
            has_thumbnail=found.thumbnail_available,
            last_sequence=found.last_sequence,
        )

    def cancel(self, job: str) -> None:
        """Ask the server to stop the job."""
        self._call(self._jobs.CancelJob, jobs_pb2.CancelJobRequest(name=job))

    def retry(self, job: str) -> None:
        """Queue the job once more."""
        self._call(self._jobs.RetryJob, jobs_pb2.RetryJobRequest(name=job))

    def download_package(self, job: str, folder: Path, stopped: Callable[[], bool]) -> Path:
        """Fetch the package's archive, resuming where an earlier try broke off, and unpack it; returns its folder."""
        listing = self._call(self._transfers.ListArtifacts, transfers_pb2.ListArtifactsRequest(parent=job), tries=TRIES)
        archives = [found for found in listing.artifacts if found.path.endswith(".zip")]
        if not archives:
            raise ServerError(f"{job} has no package on the server; it may have been deleted. Forge it again.")
        archive = self._download(archives[0], folder, stopped)
        unpacked = folder / archive.stem
        with zipfile.ZipFile(archive) as content:
            content.extractall(
                folder if all(n.startswith(archive.stem + "/") for n in content.namelist()) else unpacked
            )
        return unpacked

    def download_thumbnail(self, job: str, folder: Path, stopped: Callable[[], bool]) -> Path | None:
        """Fetch the small picture of a finished job, where there is one."""
        listing = self._call(self._transfers.ListArtifacts, transfers_pb2.ListArtifactsRequest(parent=job))
        found = [artifact for artifact in listing.artifacts if artifact.path == "thumbnail.png"]
        return self._download(found[0], folder, stopped) if found else None

    def _call(self, method: Callable[..., object], request: object, tries: int = 1) -> "object":
        for attempt in range(1, tries + 1):
            try:
                return method(request, metadata=self._metadata, timeout=CALL_S)
            except grpc.RpcError as error:
                problem = explained(error, self.address)
                if not problem.retriable or attempt == tries:
                    raise problem from error
        raise AssertionError("unreachable")

    def _upload(self, path: Path, key: str, stopped: Callable[[], bool]) -> str:
        """Send one file; after a broken connection the rest of it."""
        data = path.read_bytes()
        upload_id = str(uuid.uuid5(uuid.NAMESPACE_URL, key))
        header = transfers_pb2.UploadHeader(
            upload_id=upload_id,
            file_name=path.name,
            size_bytes=len(data),
            sha256=hashlib.sha256(data).hexdigest(),
        )
        for attempt in range(1, TRIES + 1):
            if attempt > 1:
                header.offset_bytes = self._received(upload_id)
            try:
                answer = self._transfers.UploadFile(_pieces(header, data, stopped), metadata=self._metadata)
            except grpc.RpcError as error:
                if stopped():
                    raise Stopped from error
                problem = explained(error, self.address)
                if not problem.retriable or attempt == TRIES:
                    raise problem from error
            else:
                return str(answer.upload.name)
        raise AssertionError("unreachable")

    def _received(self, upload_id: str) -> int:
        try:
            request = transfers_pb2.GetUploadRequest(name=f"uploads/{upload_id}")
            return int(self._call(self._transfers.GetUpload, request).upload.received_bytes)
        except ServerError:
            return 0

    def _download(self, artifact: transfers_pb2.Artifact, folder: Path, stopped: Callable[[], bool]) -> Path:
        folder.mkdir(parents=True, exist_ok=True)
        whole = folder / Path(artifact.path).name
        partial = whole.with_name(whole.name + ".partial")
        for attempt in range(1, TRIES + 1):
            offset = partial.stat().st_size if partial.exists() else 0
            request = transfers_pb2.DownloadArtifactRequest(name=artifact.name, offset_bytes=offset)
            try:
                with partial.open("ab") as file:
                    for answer in self._transfers.DownloadArtifact(request, metadata=self._metadata):
                        if stopped():
                            raise Stopped
                        file.write(answer.chunk)
            except grpc.RpcError as error:
                problem = explained(error, self.address)
                if not problem.retriable or attempt == TRIES:
                    raise problem from error
                continue
            if hashlib.sha256(partial.read_bytes()).hexdigest() == artifact.sha256:
                partial.replace(whole)
                return whole
            partial.unlink()
        raise ServerError(f"{artifact.path} arrived damaged {TRIES} times. Check the network and disk, then retry.")


def is_loopback(address: str) -> bool:
    """Whether the server is on this machine; anywhere else the connection is encrypted, and with it the token."""
    host = address.rpartition(":")[0].strip("[]")
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def _pieces(
    header: transfers_pb2.UploadHeader, data: bytes, stopped: Callable[[], bool]
) -> Iterator[transfers_pb2.UploadFileRequest]:
    yield transfers_pb2.UploadFileRequest(header=header)
    for start in range(header.offset_bytes, len(data), CHUNK_BYTES):
        if stopped():
            raise Stopped
        yield transfers_pb2.UploadFileRequest(chunk=data[start : start + CHUNK_BYTES])


def explained(error: grpc.RpcError, address: str) -> ServerError:
    """What went wrong and what to do, from a gRPC error."""
    code, text = error.code(), error.details() or ""
    if code is grpc.StatusCode.UNAVAILABLE:
        if "certificate" in text.lower() or "ssl" in text.lower() or "handshake" in text.lower():
            return ServerError(
                f"{address}: the secure connection failed ({text}). Set 'Certificate authority' to the PEM file of the "
                "authority that signed the server's certificate; leave it empty for a server without TLS on this "
                "machine."
            )
        return ServerError(
            f"No Open3DForge server answers at {address}. Start one with `./forge serve`, or set the right address; a "
            "firewall between the two machines has the same effect.",
            retriable=True,
        )
    if code is grpc.StatusCode.UNAUTHENTICATED or code is grpc.StatusCode.PERMISSION_DENIED:
        return ServerError(
            f"{address} does not accept the token. Ask whoever runs the server for yours, and set it in the settings.",
            reason="ACCESS_DENIED",
        )
    if code is grpc.StatusCode.DEADLINE_EXCEEDED:
        return ServerError(f"{address} did not answer in time. It may be overloaded; try again.", retriable=True)
    reason, subject, remedy = _details(error)
    parts = (f"{subject}:" if subject else "", text, remedy)
    return ServerError(" ".join(part for part in parts if part) or str(code), reason=reason)


def _details(error: grpc.RpcError) -> tuple[str, str, str]:
    """Reason, subject and remedy of ``google.rpc.ErrorInfo``; empty where the error has none."""
    for key, value in error.trailing_metadata() or ():
        if key == STATUS_DETAILS:
            for detail in status_pb2.Status.FromString(value).details:
                info = error_details_pb2.ErrorInfo()
                if detail.Unpack(info):
                    return info.reason, info.metadata.get("subject", ""), info.metadata.get("remedy", "")
    return "", "", ""
