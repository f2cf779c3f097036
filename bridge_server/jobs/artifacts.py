"""Files that jobs leave: listed with their digests once the job has succeeded, found by list and never by path."""

import hashlib
import shutil
from collections.abc import Collection
from dataclasses import dataclass
from pathlib import Path

from bridge_server.errors import NotFound
from bridge_server.jobs.database import Database

PACKAGE_FOLDER = "package"
INPUT_FOLDER = "inputs"
THUMBNAIL = "thumbnail.png"


@dataclass(frozen=True, slots=True, kw_only=True)
class Artifact:
    """One file of a job; ``path`` is relative, with forward slashes."""

    path: str
    size_bytes: int
    sha256: str


class JobFolders:
    """The folder of each job: ``inputs/``, ``package/`` and ``thumbnail.png``."""

    def __init__(self, database: Database, root: Path) -> None:
        self._database = database
        self._root = root
        root.mkdir(parents=True, exist_ok=True)

    def of(self, job_id: str) -> Path:
        """Where the job keeps its files; may not exist."""
        return self._root / job_id

    def clear_results(self, job_id: str) -> None:
        """Remove what an unfinished attempt left."""
        shutil.rmtree(self.of(job_id) / PACKAGE_FOLDER, ignore_errors=True)
        (self.of(job_id) / THUMBNAIL).unlink(missing_ok=True)

    def remove(self, job_id: str) -> None:
        """Remove everything of the job."""
        shutil.rmtree(self.of(job_id), ignore_errors=True)

    def sweep(self, kept: Collection[str]) -> int:
        """Remove folders of jobs that are not in ``kept``; returns how many went."""
        gone = [path for path in self._root.iterdir() if path.name not in kept]
        for path in gone:
            shutil.rmtree(path, ignore_errors=True)
        return len(gone)

    def record(self, job_id: str) -> tuple[Artifact, ...]:
        """List the files that are there now, so that they can be downloaded."""
        folder = self.of(job_id)
        package = folder / PACKAGE_FOLDER
        found = [(path, path.relative_to(package)) for path in package.rglob("*") if path.is_file()]
        if (folder / THUMBNAIL).is_file():
            found.append((folder / THUMBNAIL, Path(THUMBNAIL)))
        artifacts = tuple(_described(path, shown.as_posix()) for path, shown in found)
        with self._database.transaction() as rows:
            rows.execute("DELETE FROM artifacts WHERE job = ?", (job_id,))
            rows.executemany(
                "INSERT INTO artifacts (job, path, size_bytes, sha256) VALUES (?, ?, ?, ?)",
                [(job_id, artifact.path, artifact.size_bytes, artifact.sha256) for artifact in artifacts],
            )
        return artifacts

    def list(self, job_id: str, after: str, size: int) -> tuple[Artifact, ...]:
        """At most ``size`` artifacts with paths after ``after``, ordered by path."""
        query = "SELECT path, size_bytes, sha256 FROM artifacts WHERE job = ? AND path > ? ORDER BY path LIMIT ?"
        return tuple(_artifact(row) for row in self._database.read(query, job_id, after, size))

    def find(self, job_id: str, path: str) -> tuple[Artifact, Path]:
        """The artifact and where it lies. Raises ``NotFound``."""
        query = "SELECT path, size_bytes, sha256 FROM artifacts WHERE job = ? AND path = ?"
        rows = self._database.read(query, job_id, path)
        if not rows:
            raise NotFound(
                "the job has no such file.",
                subject=f"jobs/{job_id}/artifacts/{path[:200]}",
                remedy="List the job's artifacts; there are some once it has succeeded.",
            )
        artifact = _artifact(rows[0])
        folder = self.of(job_id)
        return artifact, folder / THUMBNAIL if artifact.path == THUMBNAIL else folder / PACKAGE_FOLDER / artifact.path


def _described(path: Path, shown: str) -> Artifact:
    with path.open("rb") as file:
        digest = hashlib.file_digest(file, "sha256").hexdigest()
    return Artifact(path=shown, size_bytes=path.stat().st_size, sha256=digest)


def _artifact(row: tuple[object, ...]) -> Artifact:
    return Artifact(path=str(row[0]), size_bytes=int(str(row[1])), sha256=str(row[2]))
