"""Files over gRPC, in chunks that can be resumed."""

from collections.abc import Iterator

import grpc
from open3dforge.v1 import transfers_pb2, transfers_pb2_grpc

from bridge_server.errors import InputError
from bridge_server.jobs.artifacts import JobFolders
from bridge_server.jobs.desk import JobDesk
from bridge_server.jobs.uploads import Uploads
from bridge_server.service import convert
from bridge_server.service.auth import Gate
from bridge_server.service.names import artifact_parts, bare, page_size

CHUNK_BYTES = 256 * 1024


class TransferServicer(transfers_pb2_grpc.TransferServiceServicer):
    """Answers for the caller's own uploads and jobs."""

    def __init__(self, desk: JobDesk, uploads: Uploads, folders: JobFolders, gate: Gate) -> None:
        self._desk = desk
        self._uploads = uploads
        self._folders = folders
        self._gate = gate

    def UploadFile(  # noqa: N802 - the contract names it
        self, request_iterator: Iterator[transfers_pb2.UploadFileRequest], context: grpc.ServicerContext
    ) -> transfers_pb2.UploadFileResponse:
        """Take a header and chunks."""
        user = self._gate.user_calling(context)
        first = next(request_iterator, transfers_pb2.UploadFileRequest())
        if first.WhichOneof("content") != "header":
            raise InputError("the first message must be the header.", subject="upload")
        announced = convert.announcement_value(first.header)
        chunks = _chunks(request_iterator)
        upload = self._uploads.receive(user, announced, first.header.offset_bytes, chunks)
        return transfers_pb2.UploadFileResponse(upload=convert.upload_message(upload))

    def GetUpload(  # noqa: N802
        self, request: transfers_pb2.GetUploadRequest, context: grpc.ServicerContext
    ) -> transfers_pb2.GetUploadResponse:
        """How much has arrived."""
        upload = self._uploads.get(self._gate.user_calling(context), bare(request.name, "uploads"))
        return transfers_pb2.GetUploadResponse(upload=convert.upload_message(upload))

    def ListArtifacts(  # noqa: N802
        self, request: transfers_pb2.ListArtifactsRequest, context: grpc.ServicerContext
    ) -> transfers_pb2.ListArtifactsResponse:
        """The files of a job; the page token is the last path of the page before."""
        job = self._desk.get(self._gate.user_calling(context), bare(request.parent, "jobs"))
        size = page_size(request.page_size, usual=100, most=1000)
        found = self._folders.list(job.id, request.page_token, size + 1)
        return transfers_pb2.ListArtifactsResponse(
            artifacts=[convert.artifact_message(job.id, artifact) for artifact in found[:size]],
            next_page_token=found[size - 1].path if len(found) > size else "",
        )

    def DownloadArtifact(  # noqa: N802
        self, request: transfers_pb2.DownloadArtifactRequest, context: grpc.ServicerContext
    ) -> Iterator[transfers_pb2.DownloadArtifactResponse]:
        """Describe the file, then send it from the offset on."""
        job_id, path = artifact_parts(request.name)
        job = self._desk.get(self._gate.user_calling(context), job_id)
        artifact, file_path = self._folders.find(job.id, path)
        if not 0 <= request.offset_bytes <= artifact.size_bytes:
            raise InputError(
                f"the file has {artifact.size_bytes} bytes.",
                subject=f"offset {request.offset_bytes}",
                reason="OUT_OF_RANGE",
            )
        with file_path.open("rb") as file:
            file.seek(request.offset_bytes)
            yield transfers_pb2.DownloadArtifactResponse(artifact=convert.artifact_message(job.id, artifact))
            while chunk := file.read(CHUNK_BYTES):
                yield transfers_pb2.DownloadArtifactResponse(chunk=chunk)


def _chunks(requests: Iterator[transfers_pb2.UploadFileRequest]) -> Iterator[bytes]:
    for request in requests:
        if request.WhichOneof("content") != "chunk":
            raise InputError("after the header only chunks may come.", subject="upload")
        yield request.chunk
