"""Calls to a server under test, over raw stubs."""

import hashlib
import uuid
from collections.abc import Iterator
from dataclasses import dataclass

import grpc
from google.rpc import error_details_pb2
from grpc_status import rpc_status
from open3dforge.v1 import (
    catalogue_pb2_grpc,
    jobs_pb2,
    jobs_pb2_grpc,
    server_pb2_grpc,
    transfers_pb2,
    transfers_pb2_grpc,
)

TIMEOUT_S = 20.0


@dataclass(frozen=True)
class Calls:
    """Stubs on one channel, and the calls that most tests need."""

    channel: grpc.Channel
    metadata: tuple[tuple[str, str], ...] = ()

    @property
    def jobs(self) -> jobs_pb2_grpc.JobServiceStub:
        return jobs_pb2_grpc.JobServiceStub(self.channel)

    @property
    def transfers(self) -> transfers_pb2_grpc.TransferServiceStub:
        return transfers_pb2_grpc.TransferServiceStub(self.channel)

    @property
    def catalogue(self) -> catalogue_pb2_grpc.CatalogueServiceStub:
        return catalogue_pb2_grpc.CatalogueServiceStub(self.channel)

    @property
    def server(self) -> server_pb2_grpc.ServerServiceStub:
        return server_pb2_grpc.ServerServiceStub(self.channel)

    def upload(self, data: bytes, file_name: str = "cup.png", chunk_bytes: int = 1000, **changes: object) -> str:
        """Upload and return the name; ``changes`` are fields of the header."""
        fields = {
            "upload_id": str(uuid.uuid4()),
            "file_name": file_name,
            "size_bytes": len(data),
            "sha256": hashlib.sha256(data).hexdigest(),
            **changes,
        }
        header = transfers_pb2.UploadHeader(**fields)
        rest = data[header.offset_bytes :]
        answer = self.transfers.UploadFile(
            upload_messages(header, rest, chunk_bytes), timeout=TIMEOUT_S, metadata=self.metadata
        )
        return answer.upload.name

    def create(self, *wishes: str, request_id: str = "", name: str = "Cup", **fields: object) -> jobs_pb2.Job:
        """Create a job of one photo; ``wishes`` are the toy's, such as ``seconds=1``."""
        upload = fields.pop("upload", None) or self.upload(b"a photo")
        spec = jobs_pb2.JobSpec(
            photos=[jobs_pb2.PhotoInput(upload=str(upload))],
            preset="presets/toy",
            asset_name=name,
            overrides=[
                jobs_pb2.SettingOverride(setting=f"toy.{key}", value=value)
                for key, _, value in (wish.partition("=") for wish in wishes)
            ],
        )
        spec.MergeFrom(jobs_pb2.JobSpec(**fields))
        request = jobs_pb2.CreateJobRequest(request_id=request_id, spec=spec)
        return self.jobs.CreateJob(request, timeout=TIMEOUT_S, metadata=self.metadata).job

    def get(self, name: str) -> jobs_pb2.Job:
        return self.jobs.GetJob(jobs_pb2.GetJobRequest(name=name), timeout=TIMEOUT_S, metadata=self.metadata).job

    def watch(self, name: str, after: int = 0) -> Iterator[jobs_pb2.JobEvent]:
        request = jobs_pb2.WatchJobRequest(name=name, after_sequence=after)
        for answer in self.jobs.WatchJob(request, timeout=TIMEOUT_S, metadata=self.metadata):
            yield answer.event

    def finish(self, name: str) -> jobs_pb2.Job:
        """Wait for the end of a job."""
        for _ in self.watch(name):
            continue
        return self.get(name)


def upload_messages(
    header: transfers_pb2.UploadHeader, data: bytes, chunk_bytes: int = 1000
) -> Iterator[transfers_pb2.UploadFileRequest]:
    yield transfers_pb2.UploadFileRequest(header=header)
    for start in range(0, len(data), chunk_bytes):
        yield transfers_pb2.UploadFileRequest(chunk=data[start : start + chunk_bytes])


def told(error: grpc.RpcError) -> tuple[grpc.StatusCode, str, dict[str, str]]:
    """Status code, reason and metadata of a refusal."""
    status = rpc_status.from_call(error)
    assert status is not None, error
    info = error_details_pb2.ErrorInfo()
    assert status.details[0].Unpack(info)
    assert info.domain == "open3dforge"
    return error.code(), info.reason, {**info.metadata, "message": status.message}
