"""The content store: values in files named by the SHA-256 of their bytes, and an index from keys to results.

    <root>/values/ab/abcdef...      one blob of ``codec``
    <root>/results/12/1234...json   what a stage made for a key: digest, size, notices

Files are written under a temporary name, synced, and renamed, so that any number of processes and machines may share
a store and a reader never sees half a file. The time of last use is the file's time of change.
"""

import contextlib
import errno
import hashlib
import json
import mmap
import os
import time
import uuid
from collections.abc import Collection, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from bridge_server.errors import DiskFull, StoreError
from bridge_server.pipeline.codec import canonical_json, decode, encode, from_plain_tree, plain_tree
from bridge_server.values.base import Notice, Value

RESULT_SCHEMA = "open3dforge.result.v1"
RECENT_S = 3600.0
"""What was used this lately is never pruned: a run may be about to read it."""
_DIGEST_LENGTH = 64
_PARTIAL = ".partial"


@dataclass(frozen=True, slots=True, kw_only=True)
class StoredResult:
    """What a stage made for one key."""

    digest: str
    size_bytes: int
    notices: tuple[Notice, ...] = ()


@dataclass(frozen=True, slots=True)
class Store:
    """A folder of values; cheap to construct, safe to share between threads and processes."""

    root: Path

    def put(self, value: Value) -> StoredResult:
        """Write a value where it is not there yet. Raises ``DiskFull`` or ``StoreError``, leaving nothing behind."""
        pieces = list(encode(value))
        sha = hashlib.sha256()
        for piece in pieces:
            sha.update(piece)
        result = StoredResult(
            digest=sha.hexdigest(), size_bytes=sum(piece.nbytes for piece in pieces), notices=value.notices
        )
        if not self._use(result):
            self._write(self._value_path(result.digest), pieces)
        return result

    def get(self, digest: str, *, verify: bool = False) -> Value:
        """The value of that digest, its arrays mapped from the file.

        ``verify`` reads every byte and compares its digest. A damaged file is removed, so that the next run makes it
        anew, and raises ``StoreError`` as a missing one does.
        """
        path = self._value_path(digest)
        try:
            with path.open("rb") as stream:
                if os.fstat(stream.fileno()).st_size == 0:
                    raise self._removed(path, "is empty.")
                blob = memoryview(mmap.mmap(stream.fileno(), 0, access=mmap.ACCESS_READ))
        except OSError as error:
            raise StoreError(f"cannot be read: {error.strerror or error}.", subject=str(path)) from error
        if verify and hashlib.sha256(blob).hexdigest() != digest:
            raise self._removed(path, "its bytes have changed.")
        try:
            return decode(blob)
        except StoreError as error:
            raise self._removed(path, error.message) from error

    def result(self, key: str) -> StoredResult | None:
        """What was made for a key, marked as used; None where nothing was, or where its value is gone or cut short."""
        result = self._read_result(key)
        return result if result is not None and self._use(result) else None

    def _read_result(self, key: str) -> StoredResult | None:
        try:
            content = json.loads(self._result_path(key).read_bytes())
            result = StoredResult(
                digest=_checked_digest(content["digest"]),
                size_bytes=content["size_bytes"],
                notices=from_plain_tree(content["notices"]),
            )
            matches = content["schema"] == RESULT_SCHEMA and content["key"] == key
        except (OSError, ValueError, KeyError, TypeError, StoreError):
            return None
        return result if matches else None

    def record(self, key: str, result: StoredResult) -> None:
        """Remember what was made for a key."""
        content = {
            "schema": RESULT_SCHEMA,
            "key": key,
            "digest": result.digest,
            "size_bytes": result.size_bytes,
            "notices": plain_tree(result.notices),
        }
        self._write(self._result_path(key), [memoryview(canonical_json(content))])

    def size_bytes(self) -> int:
        """Bytes that values take."""
        return sum(size for _, size, _ in self._values())

    def prune(self, max_bytes: int, *, pinned: Collection[str] = (), recent_s: float = RECENT_S) -> int:
        """Delete the values unused for longest until at most ``max_bytes`` remain; returns the bytes set free.

        ``pinned`` digests and what was used within ``recent_s`` seconds stay, whatever the total.
        """
        now = time.time()
        values = sorted(self._values(), key=lambda found: found[2])
        excess = sum(size for _, size, _ in values) - max_bytes
        freed = 0
        for path, size, used in values:
            if freed >= excess:
                break
            if path.name in pinned or now - used < recent_s:
                continue
            with contextlib.suppress(OSError):  # gone already, or held open on Windows: the next pruning sees to it
                path.unlink()
                freed += size
        self._sweep(now)
        return freed

    def _sweep(self, now: float) -> None:
        """Remove results whose value is gone, and what crashed writers left behind."""
        for path in self.root.glob("*/*/*"):
            with contextlib.suppress(OSError):
                if path.name.endswith(_PARTIAL):
                    if now - path.stat().st_mtime > RECENT_S:
                        path.unlink()
                elif path.parent.parent.name == "results":
                    result = self._read_result(path.stem)
                    if result is None or not self._value_path(result.digest).exists():
                        path.unlink()

    def _values(self) -> Iterable[tuple[Path, int, float]]:
        for path in (self.root / "values").glob("*/*"):
            if not path.name.endswith(_PARTIAL):
                with contextlib.suppress(OSError):
                    status = path.stat()
                    yield path, status.st_size, status.st_mtime

    def _value_path(self, digest: str) -> Path:
        return self.root / "values" / _checked_digest(digest)[:2] / digest

    def _result_path(self, key: str) -> Path:
        return self.root / "results" / _checked_digest(key)[:2] / f"{key}.json"

    def _removed(self, path: Path, message: str) -> StoreError:
        with contextlib.suppress(OSError):
            path.unlink()
        return StoreError(message, subject=str(path), remedy="It was removed; run again, and it is made anew.")

    def _use(self, result: StoredResult) -> bool:
        """Whether the whole file is there; marks it as used now."""
        path = self._value_path(result.digest)
        try:
            complete = path.stat().st_size == result.size_bytes
            if complete:
                os.utime(path)
        except OSError:
            return False
        return complete

    def _write(self, path: Path, pieces: Iterable[memoryview]) -> None:
        partial = path.with_name(f"{path.name}.{uuid.uuid4().hex}{_PARTIAL}")
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            with partial.open("wb") as stream:
                for piece in pieces:
                    stream.write(piece)
                stream.flush()
                os.fsync(stream.fileno())
            partial.replace(path)
        except OSError as error:
            with contextlib.suppress(OSError):
                partial.unlink(missing_ok=True)
            if isinstance(error, PermissionError) and path.exists():
                return  # Windows: another process holds the same content open
            if is_disk_full(error):
                message = f"no space left in the store ({error.strerror or error})."
                remedy = "Free some space, or move the data folder."
                raise DiskFull(message, subject=str(self.root), remedy=remedy) from error
            message, remedy = f"cannot write: {error.strerror or error}.", "Check that the data folder can be written."
            raise StoreError(message, subject=str(self.root), remedy=remedy) from error


def is_disk_full(error: OSError) -> bool:
    """Whether an error means that no space is left: none at all, none of the user's share, none for so large a file."""
    return error.errno in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)


def _checked_digest(digest: Any) -> str:
    if not isinstance(digest, str) or len(digest) != _DIGEST_LENGTH or set(digest) - set("0123456789abcdef"):
        raise StoreError("is no digest.", subject=f"{digest!r}")
    return digest
