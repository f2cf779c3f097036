"""``forge jobs``, ``watch``, ``cancel``, ``retry`` and ``download``: what becomes of jobs."""

import enum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from bridge_server.cli import options, output

if TYPE_CHECKING:
    from open3dforge.v1 import jobs_pb2


class State(enum.StrEnum):
    """States a list can be narrowed to."""

    QUEUED = "queued"
    RUNNING = "running"
    SUCCEEDED = "succeeded"
    FAILED = "failed"
    CANCELLED = "cancelled"


def jobs(
    job: Annotated[str, typer.Argument(metavar="[JOB]", help="Show this one with its stages.")] = "",
    *,
    state: Annotated[list[State] | None, typer.Option(help="Only jobs in this state. May be repeated.")] = None,
    limit: Annotated[int, typer.Option(min=1, help="At most this many, the newest first.")] = 20,
    server: options.Server = "",
    token: options.Token = "",
    authority: options.Authority = None,
    as_json: options.AsJson = False,
) -> None:
    """List jobs, the newest first, or show one."""
    from bridge_server.cli.connection import connected
    from bridge_server.cli.documents import document

    with connected(server, token, authority) as client:
        if job:
            found = [client.get_job(job)]
        else:
            wanted = [f"JOB_STATE_{item.name}" for item in state or []]
            found = client.list_jobs(wanted, limit)
    if as_json:
        output.emit({"job": document(found[0])} if job else {"jobs": [document(item) for item in found]})
    elif job:
        _show(found[0])
    elif found:
        output.table(["job", "asset", "preset", "state", "", "created"], [_row(item) for item in found])
    else:
        output.say("No jobs.")


def watch(
    job: options.JobName,
    *,
    out: Annotated[Path | None, typer.Option(help="Download the package into this folder at the end.")] = None,
    server: options.Server = "",
    token: options.Token = "",
    authority: options.Authority = None,
    as_json: options.AsJson = False,
) -> None:
    """Show a job's progress from its beginning to its end; broken connections are made again."""
    from bridge_server.cli.connection import connected
    from bridge_server.cli.following import follow_and_fetch

    with connected(server, token, authority) as client:
        client.get_job(job)
        follow_and_fetch(client, job, out, as_json=as_json)


def cancel(
    job: options.JobName,
    *,
    server: options.Server = "",
    token: options.Token = "",
    authority: options.Authority = None,
    as_json: options.AsJson = False,
) -> None:
    """Stop a job at its next checkpoint."""
    from bridge_server.cli.connection import connected
    from bridge_server.cli.documents import document, enum_word

    with connected(server, token, authority) as client:
        changed = client.cancel_job(job)
    if as_json:
        output.emit({"job": document(changed)})
    elif changed.cancel_requested and enum_word(changed, "state") == "running":
        output.say(f"{job} stops at its next checkpoint")
    else:
        output.say(f"{job} is {enum_word(changed, 'state')}")


def retry(
    job: options.JobName,
    *,
    out: Annotated[Path | None, typer.Option(help="Wait, and download the package into this folder.")] = None,
    wait: Annotated[bool, typer.Option("--wait", help="Show progress until the job has ended.")] = False,
    server: options.Server = "",
    token: options.Token = "",
    authority: options.Authority = None,
    as_json: options.AsJson = False,
) -> None:
    """Queue a failed or cancelled job again; finished stages come from the store."""
    from bridge_server.cli.connection import connected
    from bridge_server.cli.documents import document
    from bridge_server.cli.following import follow_and_fetch

    with connected(server, token, authority) as client:
        changed = client.retry_job(job)
        if as_json:
            output.emit({"job": document(changed)})
        else:
            output.say(f"{job} queued again")
        if wait or out is not None:
            follow_and_fetch(client, job, out, as_json=as_json)


def download(
    job: options.JobName,
    *,
    out: Annotated[Path, typer.Option(help="Folder that receives the package and its zip.")] = Path("out"),
    server: options.Server = "",
    token: options.Token = "",
    authority: options.Authority = None,
    as_json: options.AsJson = False,
) -> None:
    """Fetch a job's package; an interrupted download goes on where it stopped, and every digest is checked."""
    from bridge_server.cli import progress, transfers
    from bridge_server.cli.connection import connected

    with connected(server, token, authority) as client, progress.open_view(as_json=as_json) as view:
        placed = transfers.download_job(client, job, out, view.transfer)
    if as_json:
        output.emit({"files": [str(path.resolve()) for path in placed]})
        return
    for path in placed:
        output.say(str(path))


def _row(job: "jobs_pb2.Job") -> list[str]:
    from bridge_server.cli.documents import enum_word
    from bridge_server.cli.following import bare

    created = job.create_time.ToDatetime().isoformat(" ", "seconds")
    state = enum_word(job, "state")
    return [bare(job.name), job.asset_name, job.preset, state, f"{job.fraction:.0%}", f"{created} UTC"]


def _show(job: "jobs_pb2.Job") -> None:
    from bridge_server.cli.documents import enum_word
    from bridge_server.cli.following import show_checklist
    from bridge_server.cli.progress import notice_line

    output.table(["job", "asset", "preset", "state", "", "created"], [_row(job)])
    if job.HasField("eta_seconds"):
        output.say(f"about {job.eta_seconds:.0f} s to go")
    rows = [
        [
            stage.stage,
            "from the store" if stage.cached else enum_word(stage, "state"),
            f"{stage.fraction:.0%}",
            f"{stage.seconds:.1f} s",
        ]
        for stage in job.stages
    ]
    output.table(["stage", "state", "", "time"], rows)
    for notice in job.notices:
        output.say(notice_line(notice))
    show_checklist(job)
    if enum_word(job, "state") == "failed":
        error = job.error
        output.say(f"failed: {error.subject + ': ' if error.subject else ''}{error.message} {error.remedy}".rstrip())
