"""The SQLite file of the job queue: its tables, transactions, and the lock that keeps a second server out."""

import contextlib
import os
import sqlite3
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import IO

from bridge_server.errors import Conflict, DiskFull, StoreError

VERSION = 1
_SCHEMA = """
CREATE TABLE jobs (
    number INTEGER PRIMARY KEY AUTOINCREMENT,
    id TEXT NOT NULL UNIQUE,
    user TEXT NOT NULL,
    request_id TEXT,
    payload TEXT NOT NULL,
    preset TEXT NOT NULL,
    priority INTEGER NOT NULL,
    uses_gpu INTEGER NOT NULL,
    state TEXT NOT NULL,
    body TEXT NOT NULL,
    UNIQUE (user, request_id)
);
CREATE INDEX jobs_by_state ON jobs (state, priority DESC, number);
CREATE TABLE events (
    job TEXT NOT NULL REFERENCES jobs (id) ON DELETE CASCADE,
    sequence INTEGER NOT NULL,
    time TEXT NOT NULL,
    kind TEXT NOT NULL,
    body TEXT NOT NULL,
    PRIMARY KEY (job, sequence)
) WITHOUT ROWID;
CREATE TABLE artifacts (
    job TEXT NOT NULL REFERENCES jobs (id) ON DELETE CASCADE,
    path TEXT NOT NULL,
    size_bytes INTEGER NOT NULL,
    sha256 TEXT NOT NULL,
    PRIMARY KEY (job, path)
) WITHOUT ROWID;
CREATE TABLE stage_times (
    number INTEGER PRIMARY KEY AUTOINCREMENT,
    preset TEXT NOT NULL,
    stage TEXT NOT NULL,
    seconds REAL NOT NULL
);
CREATE INDEX stage_times_by_preset ON stage_times (preset, stage, number DESC);
CREATE TABLE gpu_usage (
    user TEXT NOT NULL,
    day TEXT NOT NULL,
    seconds REAL NOT NULL,
    PRIMARY KEY (user, day)
) WITHOUT ROWID;
CREATE TABLE uploads (
    user TEXT NOT NULL,
    id TEXT NOT NULL,
    file_name TEXT NOT NULL,
    size_bytes INTEGER NOT NULL,
    sha256 TEXT NOT NULL,
    complete INTEGER NOT NULL,
    touched TEXT NOT NULL,
    PRIMARY KEY (user, id)
) WITHOUT ROWID;
"""


class Database:
    """One connection that all threads share, one transaction at a time.

    Every commit is synced to the disk (WAL, synchronous FULL) before it counts, so what a client has seen is still
    there after a power cut.
    """

    def __init__(self, folder: Path) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self._folder_lock = _lock_folder(folder)
        self._lock = threading.RLock()
        path = folder / "jobs.sqlite3"
        try:
            self._connection = sqlite3.connect(path, check_same_thread=False, isolation_level=None)
            self._connection.execute("PRAGMA journal_mode = WAL")
            self._connection.execute("PRAGMA synchronous = FULL")
            self._connection.execute("PRAGMA foreign_keys = ON")
            self._set_up(path)
        except sqlite3.DatabaseError as error:
            self._folder_lock.close()
            raise _translated(error, path) from error
        except StoreError:
            self._folder_lock.close()
            raise

    def _set_up(self, path: Path) -> None:
        version = self._connection.execute("PRAGMA user_version").fetchone()[0]
        if version == VERSION:
            return
        if version != 0:
            remedy = "Use the newer version, or another data folder."
            raise StoreError(f"was written by another version (schema {version}).", subject=str(path), remedy=remedy)
        self._connection.executescript(f"BEGIN; {_SCHEMA} PRAGMA user_version = {VERSION}; COMMIT;")

    @contextlib.contextmanager
    def transaction(self) -> Iterator[sqlite3.Connection]:
        """All or nothing of what is executed inside. Raises ``DiskFull`` and ``StoreError``."""
        with self._lock:
            try:
                self._connection.execute("BEGIN IMMEDIATE")
                try:
                    yield self._connection
                    self._connection.execute("COMMIT")
                except BaseException:
                    if self._connection.in_transaction:
                        self._connection.execute("ROLLBACK")
                    raise
            except sqlite3.DatabaseError as error:
                raise _translated(error, Path("jobs.sqlite3")) from error

    def read(self, query: str, *values: object) -> list[tuple[object, ...]]:
        """Rows of a query outside any transaction."""
        with self._lock:
            try:
                return self._connection.execute(query, values).fetchall()
            except sqlite3.DatabaseError as error:
                raise _translated(error, Path("jobs.sqlite3")) from error

    def close(self) -> None:
        """Close the file and let other servers in."""
        with self._lock:
            self._connection.close()
            self._folder_lock.close()


def _translated(error: sqlite3.DatabaseError, path: Path) -> StoreError:
    code = getattr(error, "sqlite_errorcode", 0) & 0xFF
    if code == sqlite3.SQLITE_FULL:
        return DiskFull("the job database cannot grow.", subject=str(path), remedy="Free disk space.")
    remedy = "Move the file away to start with an empty queue." if code == sqlite3.SQLITE_NOTADB else ""
    return StoreError(f"the job database failed: {error}.", subject=str(path), remedy=remedy)


def _lock_folder(folder: Path) -> IO[str]:
    """Hold ``folder`` until the returned file is closed or the process ends, however it ends."""
    file = (folder / "server.lock").open("a+", encoding="utf-8")
    try:
        if sys.platform == "win32":
            import msvcrt

            file.seek(0)
            msvcrt.locking(file.fileno(), msvcrt.LK_NBLCK, 1)
        else:
            import fcntl

            fcntl.lockf(file, fcntl.LOCK_EX | fcntl.LOCK_NB)  # not flock: worker processes must not inherit it
    except OSError as error:
        file.close()
        raise Conflict(
            "another server uses this data folder.",
            subject=str(folder),
            remedy="Stop it, use it (its address is in server.json there), or choose another folder.",
        ) from error
    os.set_inheritable(file.fileno(), False)
    return file
