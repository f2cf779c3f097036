"""``forge submit``: photos or a mesh file become a job."""

from pathlib import Path
from typing import Annotated

import typer

from bridge_server.cli import options, output


def submit(
    file: Annotated[
        Path | None, typer.Argument(help="Photo of the front, or a mesh file (GLB, glTF, OBJ, PLY, STL).")
    ] = None,
    *,
    preset: Annotated[str, typer.Option(help="Name of the preset.")] = "prop_UE5_standard",
    name: Annotated[str, typer.Option(help="Asset name without prefix; default: from the file's name.")] = "",
    settings: options.Overrides = None,
    view: Annotated[
        list[str] | None,
        typer.Option(metavar="SIDE=FILE", help="A photo of one side: front, back, left, right. May be repeated."),
    ] = None,
    generator: Annotated[str, typer.Option(help="Generator in place of the preset's.")] = "",
    priority: Annotated[int, typer.Option(min=-100, max=100, help="Higher starts first.")] = 0,
    out: Annotated[Path | None, typer.Option(help="Wait, and download the package into this folder.")] = None,
    wait: Annotated[bool, typer.Option("--wait", help="Show progress until the job has ended.")] = False,
    server: options.Server = "",
    token: options.Token = "",
    authority: options.Authority = None,
    as_json: options.AsJson = False,
) -> None:
    """Queue a job from a photo, up to four photos of different sides, or a mesh file."""
    from bridge_server.cli import progress, submission
    from bridge_server.cli.connection import connected
    from bridge_server.cli.documents import document
    from bridge_server.cli.following import bare, follow_and_fetch

    inputs = submission.parse_inputs(file, view or [])
    wish = submission.Wish(
        preset=preset,
        name=name,
        overrides=submission.parse_overrides(settings or []),
        generator=generator,
        priority=priority,
    )
    with connected(server, token, authority) as client:
        with progress.open_view(as_json=as_json) as shown:
            job = submission.submit(client, inputs, wish, shown.transfer)
        if as_json:
            output.emit({"job": document(job)})
        else:
            output.say(f"job {bare(job.name)} queued")
        if wait or out is not None:
            follow_and_fetch(client, job.name, out, as_json=as_json)
    if not as_json:
        output.say(f"Watch it: ./forge watch {bare(job.name)}")
