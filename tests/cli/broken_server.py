"""A server whose connections break where a test wants: the contract's streams, and nothing behind them."""

import hashlib
import threading
from collections.abc import Iterator
from concurrent import futures
from contextlib import contextmanager

import grpc
from open3dforge.v1 import jobs_pb2, jobs_pb2_grpc, transfers_pb2, transfers_pb2_grpc

EVENTS = 12
PACKAGE = {
    "export_Cup_UE5.zip": bytes(range(256)) * 5000,
    "export_Cup_UE5/report.html": b"<html>",
    "export_Cup_UE5/empty.txt": b"",
    "thumbnail.png": b"png",
}


class BrokenServer(jobs_pb2_grpc.JobServiceServicer, transfers_pb2_grpc.TransferServiceServicer):
    """Breaks the connection of each stream ``breaks`` times, in the middle of it."""

    def __init__(self, breaks: int) -> None:
        self.breaks = dict.fromkeys(("watch", "upload", "download", "create"), breaks)
        self.created: list[str] = []
        self.watched_after: list[int] = []
        self.upload_offsets: list[int] = []
        self.download_offsets: list[int] = []
        self.received: dict[str, bytearray] = {}
        self.rotten = ""
        """Path of an artifact whose first bytes arrive wrong, once."""
        self.package = dict(PACKAGE)

    def _breaks(self, what: str) -> bool:
        self.breaks[what] -= 1
        return self.breaks[what] >= 0

    def CreateJob(self, request, context):
        self.created.append(request.request_id)
        if self._breaks("create"):
            context.abort(grpc.StatusCode.UNAVAILABLE, "broken")
        return jobs_pb2.CreateJobResponse(job=jobs_pb2.Job(name="jobs/1", spec=request.spec))

    def WatchJob(self, request, context):
        self.watched_after.append(request.after_sequence)
        first = request.after_sequence
        for sequence in range(max(first, 1), EVENTS + 1):  # the last event seen is sent again: clients must drop it
            progress = jobs_pb2.StageProgressed(stage="matte", fraction=sequence / EVENTS)
            yield jobs_pb2.WatchJobResponse(event=jobs_pb2.JobEvent(sequence=sequence, stage_progressed=progress))
            if sequence == first + 3 and self._breaks("watch"):
                context.abort(grpc.StatusCode.UNAVAILABLE, "broken")

    def UploadFile(self, request_iterator, context):
        header = next(request_iterator).header
        self.upload_offsets.append(header.offset_bytes)
        data = self.received.setdefault(header.upload_id, bytearray())
        assert header.offset_bytes == len(data)
        for message in request_iterator:
            data.extend(message.chunk)
            if len(data) < header.size_bytes and self._breaks("upload"):
                context.abort(grpc.StatusCode.UNAVAILABLE, "broken")
        assert hashlib.sha256(data).hexdigest() == header.sha256
        return transfers_pb2.UploadFileResponse(upload=transfers_pb2.Upload(name=f"uploads/{header.upload_id}"))

    def GetUpload(self, request, context):
        data = self.received[request.name.removeprefix("uploads/")]
        return transfers_pb2.GetUploadResponse(upload=transfers_pb2.Upload(received_bytes=len(data)))

    def ListArtifacts(self, request, context):
        paths = sorted(self.package)
        start = int(request.page_token or 0)
        chosen = paths[start : start + 2]  # small pages, so that clients must turn them
        artifacts = [
            transfers_pb2.Artifact(
                name=f"jobs/1/artifacts/{path}",
                path=path,
                size_bytes=len(self.package[path]),
                sha256=hashlib.sha256(self.package[path]).hexdigest(),
            )
            for path in chosen
        ]
        more = start + 2 < len(paths)
        return transfers_pb2.ListArtifactsResponse(artifacts=artifacts, next_page_token=str(start + 2) if more else "")

    def DownloadArtifact(self, request, context):
        path = request.name.partition("/artifacts/")[2]
        data = self.package[path]
        self.download_offsets.append(request.offset_bytes)
        yield transfers_pb2.DownloadArtifactResponse(artifact=transfers_pb2.Artifact(path=path))
        for start in range(request.offset_bytes, len(data), 100_000):
            chunk = data[start : start + 100_000]
            if path == self.rotten and start == 0:
                self.rotten = ""
                chunk = bytes(len(chunk))
            yield transfers_pb2.DownloadArtifactResponse(chunk=chunk)
            if len(data) > 100_000 and self._breaks("download"):
                context.abort(grpc.StatusCode.UNAVAILABLE, "broken")


@contextmanager
def serve(servicer: BrokenServer) -> Iterator[str]:
    """Run it on a free loopback port; yields the address."""
    server = grpc.server(futures.ThreadPoolExecutor(4))
    jobs_pb2_grpc.add_JobServiceServicer_to_server(servicer, server)
    transfers_pb2_grpc.add_TransferServiceServicer_to_server(servicer, server)
    port = server.add_insecure_port("127.0.0.1:0")
    server.start()
    try:
        yield f"127.0.0.1:{port}"
    finally:
        stopped: threading.Event = server.stop(0)
        stopped.wait()
