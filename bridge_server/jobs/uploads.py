"""Files on their way in: written piece by piece, resumable at any byte, believed only once their digest matches.

Nothing a client says becomes a path: an upload lies in a file named by the digest of its user and id.
"""

import hashlib
import re
import shutil
import threading
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path
from typing import BinaryIO

from bridge_server.errors import Conflict, DiskFull, InputError, NotFound
from bridge_server.jobs.database import Database
from bridge_server.pipeline.store import is_disk_full

LONGEST_FILE_NAME = 255
RESERVE_BYTES = 64 * 1024 * 1024
"""Room on the disk that uploads leave for the job database."""


@dataclass(frozen=True, slots=True, kw_only=True)
class UploadLimits:
    """What uploads may take."""

    file_bytes: int
    total_bytes: int
    expiry: timedelta


@dataclass(frozen=True, slots=True, kw_only=True)
class Announcement:
    """What a client says before it sends a file."""

    upload_id: str
    file_name: str
    size_bytes: int
    sha256: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Upload:
    """A file on its way, or arrived."""

    announced: Announcement
    received_bytes: int
    complete: bool
    expires: datetime
    path: Path


class Uploads:
    """The uploads of all users."""

    def __init__(self, database: Database, folder: Path, limits: UploadLimits, now: Callable[[], datetime]) -> None:
        self._database = database
        self._folder = folder
        self._limits = limits
        self._now = now
        self._lock = threading.Lock()
        self._writers: dict[Path, object] = {}
        folder.mkdir(parents=True, exist_ok=True)

    def receive(self, user: str, announced: Announcement, offset: int, chunks: Iterable[bytes]) -> Upload:
        """Take the chunks of a file from ``offset`` on and return the finished upload.

        What arrived stays when the chunks end early or the connection breaks, so that the client can resume. A newer
        call for the same upload takes over from an older one. Raises ``InputError``, ``Conflict``, ``DiskFull``.
        """
        self._check(announced)
        upload = self._opened(user, announced)
        if upload.complete:
            return upload
        ticket = object()
        with self._lock:
            self._writers[upload.path] = ticket
            received = upload.path.stat().st_size if upload.path.exists() else 0
        if offset != received:
            raise Conflict(
                f"{received} bytes have arrived, and the chunks begin at {offset}.",
                subject=f"uploads/{announced.upload_id}",
                remedy=f"Send from offset {received} on.",
                reason="WRONG_OFFSET",
            )
        try:
            self._write(upload, ticket, received, chunks)
            return self._finish(user, announced, upload.path)
        finally:
            with self._lock:
                if self._writers.get(upload.path) is ticket:
                    del self._writers[upload.path]

    def get(self, user: str, upload_id: str) -> Upload:
        """The upload as it stands. Raises ``NotFound``."""
        rows = self._database.read(
            "SELECT file_name, size_bytes, sha256, complete, touched FROM uploads WHERE user = ? AND id = ?",
            user,
            upload_id,
        )
        if not rows:
            remedy = "Upload the file again; uploads expire when no job uses them."
            raise NotFound("there is no such upload.", subject=f"uploads/{upload_id[:80]}", remedy=remedy)
        name, size, digest, complete, touched = rows[0]
        announced = Announcement(
            upload_id=upload_id, file_name=str(name), size_bytes=int(str(size)), sha256=str(digest)
        )
        path = self._path(user, upload_id)
        return Upload(
            announced=announced,
            received_bytes=path.stat().st_size if path.exists() else 0,
            complete=bool(complete),
            expires=datetime.fromisoformat(str(touched)) + self._limits.expiry,
            path=path,
        )

    def expire(self) -> int:
        """Remove uploads that nobody touched for long, and files that belong to none. Returns how many files went."""
        there = list(self._folder.iterdir())  # before the rows are read: an upload has its row first, then its file
        deadline = (self._now() - self._limits.expiry).isoformat()
        with self._database.transaction() as rows:
            rows.execute("DELETE FROM uploads WHERE touched < ?", (deadline,))
            kept = {self._path(user, name) for user, name in rows.execute("SELECT user, id FROM uploads")}
        gone = [path for path in there if path not in kept]
        for path in gone:
            path.unlink(missing_ok=True)
        return len(gone)

    def _check(self, announced: Announcement) -> None:
        subject = f"upload {announced.file_name[:80]!r}"
        if not re.fullmatch(r"[a-z0-9][a-z0-9-]{3,63}", announced.upload_id):
            raise InputError("the upload id must be 4 to 64 of a-z, 0-9 and hyphen; a UUID goes well.", subject=subject)
        name = announced.file_name
        if not name or len(name.encode("utf-8", "replace")) > LONGEST_FILE_NAME or name in (".", ".."):
            raise InputError("the file needs a name of 1 to 255 bytes.", subject=subject)
        if re.search(r"[/\\:\x00-\x1f\x7f]", name):
            raise InputError(
                "the file name holds a folder or a character that no file name may have.",
                subject=subject,
                remedy="Send the name alone, without folders.",
            )
        if not re.fullmatch(r"[0-9a-f]{64}", announced.sha256):
            raise InputError("the digest must be 64 lower-case hexadecimal digits of SHA-256.", subject=subject)
        if not 0 <= announced.size_bytes <= self._limits.file_bytes:
            mib = self._limits.file_bytes / 2**20
            raise InputError(
                f"has {announced.size_bytes} bytes; at most {mib:.0f} MiB are taken.",
                subject=subject,
                remedy="Reduce the file, or raise upload_mib in the server's settings.",
                reason="TOO_LARGE",
            )

    def _opened(self, user: str, announced: Announcement) -> Upload:
        """Enter the announcement, or find it entered already; refuse what contradicts it or does not fit."""
        with self._database.transaction() as rows:
            columns = (announced.file_name, announced.size_bytes, announced.sha256)
            query = "SELECT file_name, size_bytes, sha256 FROM uploads WHERE user = ? AND id = ?"
            entered = rows.execute(query, (user, announced.upload_id)).fetchone()
            if entered is not None and entered != columns:
                raise Conflict(
                    "another file was announced under this id.",
                    subject=f"uploads/{announced.upload_id}",
                    remedy="Take a new id for each file.",
                )
            if entered is None:
                total = rows.execute("SELECT COALESCE(SUM(size_bytes), 0) FROM uploads WHERE user = ?", (user,))
                self._refuse_overflow(int(total.fetchone()[0]), announced)
                rows.execute(
                    "INSERT INTO uploads (user, id, file_name, size_bytes, sha256, complete, touched) "
                    "VALUES (?, ?, ?, ?, ?, 0, ?)",
                    (user, announced.upload_id, *columns, self._now().isoformat()),
                )
            else:
                values = (self._now().isoformat(), user, announced.upload_id)
                rows.execute("UPDATE uploads SET touched = ? WHERE user = ? AND id = ?", values)
        return self.get(user, announced.upload_id)

    def _refuse_overflow(self, total: int, announced: Announcement) -> None:
        subject = f"upload {announced.file_name[:80]!r}"
        if total + announced.size_bytes > self._limits.total_bytes:
            raise InputError(
                f"your uploads would take {(total + announced.size_bytes) / 2**20:.0f} MiB; "
                f"{self._limits.total_bytes / 2**20:.0f} MiB are there.",
                subject=subject,
                remedy="Wait until older uploads expire, or raise upload_total_mib in the server's settings.",
                reason="TOO_LARGE",
            )
        if shutil.disk_usage(self._folder).free < announced.size_bytes + RESERVE_BYTES:
            raise DiskFull("the server's disk has no room for it.", subject=subject, remedy="Free disk space there.")

    def _write(self, upload: Upload, ticket: object, received: int, chunks: Iterable[bytes]) -> None:
        announced = upload.announced
        with upload.path.open("ab", buffering=0) as file:
            for chunk in chunks:
                with self._lock:
                    if self._writers.get(upload.path) is not ticket:
                        subject = f"uploads/{announced.upload_id}"
                        raise Conflict("a newer call sends this upload.", subject=subject)
                    received += len(chunk)
                    if received > announced.size_bytes:
                        raise InputError(
                            f"more than the announced {announced.size_bytes} bytes were sent.",
                            subject=f"uploads/{announced.upload_id}",
                            reason="TOO_LARGE",
                        )
                    _write_all(file, chunk, announced)
        if received < announced.size_bytes:
            raise Conflict(
                f"{received} of {announced.size_bytes} bytes arrived.",
                subject=f"uploads/{announced.upload_id}",
                remedy=f"Send the rest from offset {received} on.",
                reason="UPLOAD_INCOMPLETE",
            )

    def _finish(self, user: str, announced: Announcement, path: Path) -> Upload:
        with path.open("rb") as file:
            found = hashlib.file_digest(file, "sha256").hexdigest()
        if found != announced.sha256:
            self._forget(user, announced.upload_id, path)
            raise InputError(
                f"what arrived has the digest {found}, not the announced one; it was removed.",
                subject=f"upload {announced.file_name!r}",
                remedy="Send the file again.",
                reason="WRONG_DIGEST",
            )
        with self._database.transaction() as rows:
            rows.execute(
                "UPDATE uploads SET complete = 1, touched = ? WHERE user = ? AND id = ?",
                (self._now().isoformat(), user, announced.upload_id),
            )
        return self.get(user, announced.upload_id)

    def _forget(self, user: str, upload_id: str, path: Path) -> None:
        with self._database.transaction() as rows:
            rows.execute("DELETE FROM uploads WHERE user = ? AND id = ?", (user, upload_id))
        path.unlink(missing_ok=True)

    def _path(self, user: str, upload_id: str) -> Path:
        return self._folder / hashlib.sha256(f"{user}\0{upload_id}".encode()).hexdigest()


def _write_all(file: BinaryIO, chunk: bytes, announced: Announcement) -> None:
    try:
        view = memoryview(chunk)
        while view:
            view = view[file.write(view) :]
    except OSError as error:
        if is_disk_full(error):
            raise DiskFull(
                "the server's disk is full; what arrived is kept.",
                subject=f"upload {announced.file_name!r}",
                remedy="Free disk space there and resume.",
            ) from error
        raise
