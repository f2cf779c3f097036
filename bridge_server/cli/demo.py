"""``forge demo``: photo to package in one command, with a server of its own."""

import time
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from bridge_server.cli import options, output
from bridge_server.cli.exit_codes import ExitCode

if TYPE_CHECKING:
    from open3dforge.v1 import jobs_pb2

    from bridge_server.cli.client import ForgeClient
    from bridge_server.cli.progress import View
    from bridge_server.cli.submission import Inputs, Wish

EXAMPLE = Path(__file__).resolve().parents[2] / "examples" / "coffee" / "coffee.png"
DEFAULT_MATTING = "u2netp"
FIRST = 100
"""Priority of the job: one that an earlier server left behind waits."""


def demo(
    *,
    image: Annotated[Path, typer.Option(help="Photo, or a mesh file.", show_default="the example photo")] = EXAMPLE,
    preset: Annotated[str, typer.Option(help="Name of the preset.")] = "prop_UE5_standard",
    settings: options.Overrides = None,
    out: Annotated[Path, typer.Option(help="Folder that receives the package.")] = Path("out"),
    as_json: options.AsJson = False,
) -> None:
    """Make a package from the example photo, from setting up a private server to the report."""
    from bridge_server.cli import following, progress, submission, transfers
    from bridge_server.cli.private_server import private_server

    transfers.refuse_unwritable(out)
    inputs = submission.parse_inputs(image, [])
    wish = submission.Wish(preset=preset, overrides=submission.parse_overrides(settings or []), priority=FIRST)
    _bring_default_weights()
    started = time.monotonic()
    try:
        with private_server() as client, progress.open_view(as_json=as_json) as view:
            begun = time.monotonic()
            job, placed = _forge(client, inputs, wish, out, view)
            seconds = time.monotonic() - begun
    except KeyboardInterrupt:
        output.remark("forge: interrupted; the job was cancelled and the server stopped.")
        raise typer.Exit(ExitCode.INTERRUPTED) from None
    if following.exit_code(job) not in (ExitCode.OK, ExitCode.CHECKLIST_FAILED):
        raise following.job_failure(job)
    package = next(path for path in placed if path.is_dir())
    if as_json:
        output.emit(_summary(job, package, seconds))
    else:
        following.show_outcome(job, placed)
        output.say(f"{seconds:.1f} s; {time.monotonic() - started:.1f} s with the start of the server")
        output.say(f"Open the report: {package.resolve() / 'report.html'}")
    raise typer.Exit(following.exit_code(job))


def _forge(
    client: "ForgeClient", inputs: "Inputs", wish: "Wish", out: Path, view: "View"
) -> "tuple[jobs_pb2.Job, tuple[Path, ...]]":
    """Submit, watch, download. Interrupted, the job is cancelled, so that no later server goes on with it."""
    from open3dforge.v1 import jobs_pb2

    from bridge_server.cli import submission, transfers

    job = submission.submit(client, inputs, wish, view.transfer)
    try:
        for event in client.watch(job.name):
            view.event(event)
    except BaseException:
        client.cancel_job(job.name)
        raise
    job = client.get_job(job.name)
    if job.state != jobs_pb2.JOB_STATE_SUCCEEDED:
        return job, ()
    return job, transfers.download_job(client, job.name, out, view.transfer)


def _summary(job: "jobs_pb2.Job", package: Path, seconds: float) -> dict[str, object]:
    from bridge_server.cli.documents import document

    return {
        "seconds": round(seconds, 3),
        "package": str(package.resolve()),
        "stages": [
            {"name": stage.stage, "seconds": round(stage.seconds, 3), "cached": stage.cached} for stage in job.stages
        ],
        "checklist": [document(item) for item in job.checklist.items],
    }


def _bring_default_weights() -> None:
    """Fetch the matting weights where they are missing, saying so; a job that needs them tells what to do otherwise."""
    from bridge_server.backends import weights
    from bridge_server.cli import weights_download
    from bridge_server.errors import ForgeError

    if weights.state_of(DEFAULT_MATTING) is weights.WeightsState.PRESENT:
        return
    try:
        weights_download.pull(DEFAULT_MATTING, output.remark)
    except ForgeError as error:
        output.remark(f"forge: {error}")
