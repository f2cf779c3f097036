"""Jobs of earlier editor sessions, kept in the project's Saved folder, so that the tab is not empty after a restart.

The server goes on while the editor is closed. What was under way is followed again; a package that arrives then waits
for the user to press Import, since nobody expects assets to appear by themselves when a project is opened.
"""

import json
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

from open3dforge_editor.job_list import EditorJob, ForgeRequest, JobList, Phase

SCHEMA = "open3dforge.editor_jobs.v1"
KEPT = 40
"""Jobs that are remembered; older ones leave the list."""


class JobHistory:
    """Writes the list whenever a job has come further; read once, at the start. On the game thread."""

    def __init__(self, file: Path, jobs: JobList) -> None:
        self._file = file
        self._jobs = jobs
        self._written = ""

    def restore(self) -> list[EditorJob]:
        """Put the remembered jobs into the list, and remember from now on; returns those that the server may still do.

        A file that cannot be read counts as empty: it holds nothing that the server does not have.
        """
        for entry in reversed(_entries(self._file)):
            try:
                job = _job(self._jobs.add(_request(entry["request"])), entry)
            except (KeyError, TypeError, ValueError):
                continue
            self._jobs.changed(job)
        self._jobs.watchers.append(lambda _: self.save())
        self.save()
        return [job for job in self._jobs.jobs if job.server_name and not job.phase.is_over]

    def save(self) -> None:
        """Write the list where it differs from what was written last; progress alone is no difference."""
        text = json.dumps({"schema": SCHEMA, "jobs": [_entry(job) for job in self._jobs.jobs[:KEPT]]}, indent=1)
        if text == self._written:
            return
        partial = self._file.with_suffix(".partial")
        try:
            self._file.parent.mkdir(parents=True, exist_ok=True)
            partial.write_text(text, encoding="utf-8")
            partial.replace(self._file)
        except OSError:
            return  # a full disk must not stop the job whose progress this is
        self._written = text


def _entries(file: Path) -> list[Any]:
    try:
        document = json.loads(file.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return []
    found = document.get("jobs") if isinstance(document, dict) and document.get("schema") == SCHEMA else None
    return found if isinstance(found, list) else []


def _entry(job: EditorJob) -> dict[str, object]:
    request = asdict(job.request)
    request["photos"] = [[str(path), view] for path, view in job.request.photos]
    request["mesh"] = str(job.request.mesh or "")
    return {
        "request": request,
        "phase": job.phase.value,
        "server_name": job.server_name,
        "message": job.message if job.phase.is_over else "",
        "thumbnail": str(job.thumbnail or ""),
        "package": str(job.package or ""),
    }


def _request(entry: dict[str, Any]) -> ForgeRequest:
    return ForgeRequest(
        asset_name=str(entry["asset_name"]),
        preset=str(entry["preset"]),
        destination=str(entry["destination"]),
        photos=tuple((Path(path), str(view)) for path, view in entry["photos"]),
        mesh=Path(entry["mesh"]) if entry["mesh"] else None,
        overrides=tuple((str(setting), str(value)) for setting, value in entry["overrides"]),
        import_when_done=bool(entry["import_when_done"]),
    )


def _job(job: EditorJob, entry: dict[str, Any]) -> EditorJob:
    """Fill in what is remembered; what the closed editor had in its hands is said to be where it can go on from."""
    job.phase, job.server_name, job.message = Phase(entry["phase"]), str(entry["server_name"]), str(entry["message"])
    job.thumbnail = _there(entry["thumbnail"])
    job.package = _there(entry["package"])
    if job.phase.is_over:
        return job
    if job.package is not None:
        job.phase, job.message = Phase.READY, "The editor was closed before the import had ended: press Import."
    elif job.server_name:
        job.phase, job.request = Phase.QUEUED, replace(job.request, import_when_done=False)
    else:
        job.phase = Phase.FAILED
        job.message = "The editor was closed before the server had taken the job: press Retry."
    return job


def _there(path: str) -> Path | None:
    return Path(path) if path and Path(path).exists() else None
