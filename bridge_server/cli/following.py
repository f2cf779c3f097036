"""Waiting for a job: its events shown as they come, its outcome told, its package fetched."""

from collections.abc import Sequence
from pathlib import Path

import typer
from open3dforge.v1 import jobs_pb2

from bridge_server.cli import output, progress, transfers
from bridge_server.cli.client import ForgeClient
from bridge_server.cli.documents import document, enum_word
from bridge_server.cli.exit_codes import ExitCode
from bridge_server.errors import StageFailed


def bare(name: str) -> str:
    """A resource's name without its collection, as users type it."""
    return name.partition("/")[2] or name


def follow(client: ForgeClient, name: str, view: progress.View) -> jobs_pb2.Job:
    """Show every event until the job has ended; returns it. Ctrl-C stops the watch alone and says how to go on."""
    try:
        for event in client.watch(name):
            view.event(event)
    except KeyboardInterrupt:
        output.remark(f"\nNo longer watching; the job goes on. Watch it: ./forge watch {bare(name)}")
        output.remark(f"Stop it: ./forge cancel {bare(name)}")
        raise typer.Exit(ExitCode.INTERRUPTED) from None
    return client.get_job(name)


def follow_and_fetch(client: ForgeClient, name: str, out: Path | None, *, as_json: bool) -> None:
    """Follow a job to its end, fetch its package into ``out`` where given, and end with the exit code that fits."""
    job, _ = fetched(client, name, out, as_json=as_json)
    raise typer.Exit(exit_code(job))


def fetched(client: ForgeClient, name: str, out: Path | None, *, as_json: bool) -> tuple[jobs_pb2.Job, Sequence[Path]]:
    """Follow a job to its end, fetch its package into ``out`` where given, and show what came of it.

    Returns the job and what now stands in ``out``. Raises ``StageFailed`` where people read along and it failed.
    """
    placed: Sequence[Path] = ()
    with progress.open_view(as_json=as_json) as view:
        job = follow(client, name, view)
        if job.state == jobs_pb2.JOB_STATE_SUCCEEDED and out is not None:
            placed = transfers.download_job(client, name, out, view.transfer)
    if as_json:
        output.emit({"job": document(job), "files": [str(path.resolve()) for path in placed]})
    else:
        show_outcome(job, placed)
    return job, placed


def show_outcome(job: jobs_pb2.Job, placed: Sequence[Path]) -> None:
    """The checklist and where the files are; notices were shown as they came. Raises ``StageFailed``."""
    if job.state == jobs_pb2.JOB_STATE_FAILED:
        raise job_failure(job)
    if job.state == jobs_pb2.JOB_STATE_CANCELLED:
        output.say(f"Cancelled. Queue it again: ./forge retry {bare(job.name)}")
        return
    show_checklist(job)
    for path in placed:
        output.say(str(path))
    if not placed:
        output.say(f"Download it: ./forge download {bare(job.name)}")


def show_checklist(job: jobs_pb2.Job) -> None:
    """One row a rule."""
    rows = [
        [enum_word(item, "verdict"), item.title, item.figure, item.limit, item.remedy] for item in job.checklist.items
    ]
    if rows:
        output.table(["", "rule", "figure", "limit", "remedy"], rows)


def job_failure(job: jobs_pb2.Job) -> StageFailed:
    """Why a job failed, as an error to raise."""
    error = job.error
    where = f"{error.stage}: " if error.stage else ""
    subject = error.subject or bare(job.name)
    return StageFailed(f"{where}{error.message}", subject=subject, remedy=error.remedy, reason=error.code)


def exit_code(job: jobs_pb2.Job) -> ExitCode:
    """What the end of a job means for the process."""
    if job.state == jobs_pb2.JOB_STATE_CANCELLED:
        return ExitCode.CANCELLED
    if job.state != jobs_pb2.JOB_STATE_SUCCEEDED:
        return ExitCode.FAILED
    if job.checklist.verdict == jobs_pb2.VERDICT_FAIL:
        return ExitCode.CHECKLIST_FAILED
    return ExitCode.OK
