"""Files to the server and packages back, in chunks, resumed where a connection broke, judged by their digests."""

import hashlib
import os
import shutil
import tempfile
import uuid
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from io import BufferedReader
from pathlib import Path, PurePosixPath

from open3dforge.v1 import transfers_pb2

from bridge_server.cli.client import ForgeClient, job_name
from bridge_server.errors import ConnectionFailed, DiskFull, InputError, NotFound, StoreError

CHUNK_BYTES = 256 * 1024
ATTEMPTS = 3
"""How often a file whose digest is wrong is fetched again."""

Report = Callable[[str, int, int], None]
"""Called with a file's name, bytes done and bytes in all."""


@dataclass(frozen=True, slots=True)
class _Resume:
    """Where an interrupted upload goes on."""

    offset: int
    complete: bool


def upload_file(client: ForgeClient, path: Path, report: Report) -> str:
    """Send a file; returns its name on the server. Raises ``InputError`` where it cannot be read."""
    try:
        with path.open("rb") as stream:
            return _upload(client, path.name, stream, report)
    except OSError as error:
        message = f"cannot be read: {error.strerror or error}."
        raise InputError(message, subject=str(path), remedy="Check the path and its permissions.") from error


def _upload(client: ForgeClient, file_name: str, stream: BufferedReader, report: Report) -> str:
    digest = hashlib.file_digest(stream, "sha256").hexdigest()
    size = stream.seek(0, os.SEEK_END)
    upload_id = str(uuid.uuid4())
    name = f"uploads/{upload_id}"
    first = True

    def attempt() -> None:
        nonlocal first
        state = _Resume(0, complete=False) if first else _received(client, name)
        first = False
        if state.complete:
            return
        header = transfers_pb2.UploadHeader(
            upload_id=upload_id, file_name=file_name, size_bytes=size, sha256=digest, offset_bytes=state.offset
        )
        with client.translated():
            client.transfers.UploadFile(_upload_messages(header, stream, report), metadata=client.metadata)

    client.persist(attempt)
    return name


def _received(client: ForgeClient, name: str) -> _Resume:
    """How much of an upload the server has; nothing where it does not know it."""
    try:
        with client.translated():
            request = transfers_pb2.GetUploadRequest(name=name)
            upload = client.transfers.GetUpload(request, metadata=client.metadata, timeout=30.0).upload
    except NotFound:
        return _Resume(0, complete=False)
    return _Resume(upload.received_bytes, upload.complete)


def _upload_messages(
    header: transfers_pb2.UploadHeader, stream: BufferedReader, report: Report
) -> Iterator[transfers_pb2.UploadFileRequest]:
    yield transfers_pb2.UploadFileRequest(header=header)
    stream.seek(header.offset_bytes)
    done = header.offset_bytes
    while chunk := stream.read(CHUNK_BYTES):
        yield transfers_pb2.UploadFileRequest(chunk=chunk)
        done += len(chunk)
        report(header.file_name, done, header.size_bytes)


def list_artifacts(client: ForgeClient, job: str) -> list[transfers_pb2.Artifact]:
    """Every file that the job made."""
    found: list[transfers_pb2.Artifact] = []
    token = ""
    while True:
        request = transfers_pb2.ListArtifactsRequest(parent=job_name(job), page_size=1000, page_token=token)
        with client.translated():
            page = client.transfers.ListArtifacts(request, metadata=client.metadata, timeout=30.0)
        found.extend(page.artifacts)
        token = page.next_page_token
        if not token:
            return found


def download_job(client: ForgeClient, job: str, out: Path, report: Report) -> tuple[Path, ...]:
    """Fetch a job's package into ``out``: its folder and its zip, each replaced as a whole once all is verified.

    Files of an earlier, interrupted download of the same job are used again. Returns what now stands in ``out``.
    Raises ``NotFound`` where the job has no package, ``InputError`` where ``out`` cannot be written, ``DiskFull``.
    """
    artifacts = [artifact for artifact in list_artifacts(client, job) if _belongs(artifact.path)]
    if not artifacts:
        raise NotFound("the job has no package.", subject=job, remedy="./forge watch shows how far it is.")
    waiting = out / f".download-{job_name(job).removeprefix('jobs/')}"
    try:
        _refuse_full(out, sum(artifact.size_bytes for artifact in artifacts) - _held_bytes(waiting))
        waiting.mkdir(parents=True, exist_ok=True)
        for artifact in artifacts:
            _download(client, artifact, waiting / _safe(artifact.path), report)
        finished = sorted(entry for entry in waiting.iterdir() if not entry.name.startswith("."))
        placed = tuple(_put_in_place(entry, out / entry.name) for entry in finished)
        shutil.rmtree(waiting)
    except OSError as error:
        message = f"cannot be written: {error.strerror or error}."
        raise InputError(message, subject=str(out), remedy="Name a folder you can write to with --out.") from error
    return placed


def refuse_unwritable(out: Path) -> None:
    """Try the output folder, or where it will be made, before a job spends minutes on what could not be put there.

    Leaves nothing behind. Raises ``InputError``.
    """
    try:
        with tempfile.TemporaryFile(dir=_nearest(out)):
            pass
    except OSError as error:
        message = f"cannot be written: {error.strerror or error}."
        raise InputError(message, subject=str(out), remedy="Name a folder you can write to with --out.") from error


def _nearest(out: Path) -> Path:
    """The folder, or the one nearest above it that is there already."""
    return next(folder for folder in (out.absolute(), *out.absolute().parents) if folder.exists())


def _belongs(path: str) -> bool:
    """Whether a file is part of the package; thumbnails are for lists."""
    return path.startswith("export_")


def _safe(path: str) -> Path:
    """A path from the server as one that stays inside the folder it is joined to."""
    parts = PurePosixPath(path).parts
    if (
        not parts
        or PurePosixPath(path).is_absolute()
        or any(part == ".." or ":" in part or "\\" in part for part in parts)
    ):
        raise StoreError("the server names a file outside the package.", subject=path)
    return Path(*parts)


def _refuse_full(out: Path, needed: int) -> None:
    free = shutil.disk_usage(_nearest(out)).free
    if free < needed:
        message = f"needs {needed / 1e6:.0f} MB, and {free / 1e6:.0f} MB are free."
        raise DiskFull(message, subject=str(out), remedy="Free some space, or name another folder with --out.")


def _held_bytes(folder: Path) -> int:
    """What an earlier, interrupted download has left there."""
    return sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())


def _download(client: ForgeClient, artifact: transfers_pb2.Artifact, target: Path, report: Report) -> None:
    """One file, resumed after what ``target`` has already; fetched anew where the digest is wrong."""
    target.parent.mkdir(parents=True, exist_ok=True)
    for _ in range(ATTEMPTS):
        client.persist(lambda: _append(client, artifact, target, report))
        with target.open("rb") as stream:
            if hashlib.file_digest(stream, "sha256").hexdigest() == artifact.sha256:
                return
        target.unlink()
    message = f"arrived {ATTEMPTS} times with another digest than the server names."
    raise ConnectionFailed(message, subject=artifact.path, remedy="Download it again; check the network.")


def _append(client: ForgeClient, artifact: transfers_pb2.Artifact, target: Path, report: Report) -> None:
    with target.open("ab") as out:
        done = out.tell()
        if done >= artifact.size_bytes:
            return
        request = transfers_pb2.DownloadArtifactRequest(name=artifact.name, offset_bytes=done)
        stream = client.transfers.DownloadArtifact(request, metadata=client.metadata)
        try:
            with client.translated():
                for response in stream:
                    out.write(response.chunk)
                    done += len(response.chunk)
                    report(artifact.path, done, artifact.size_bytes)
        finally:
            stream.cancel()


def _put_in_place(entry: Path, target: Path) -> Path:
    """Move a finished file or folder to its place; an older one there is removed only after the move succeeded."""
    old = entry.parent / f".old-{entry.name}"
    if target.exists():
        target.rename(old)
    try:
        entry.rename(target)
    except OSError:
        if old.exists():
            old.rename(target)
        raise
    return target
