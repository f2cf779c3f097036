"""``forge submit``: photos or a mesh file become a job."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from bridge_server.cli import editors, options, output
from bridge_server.home import data_home

if TYPE_CHECKING:
    from bridge_server.cli.client import ForgeClient


def submit(
    file: Annotated[
        Path | None, typer.Argument(help="Photo of the front, or a mesh file (GLB, glTF, FBX, OBJ, PLY, STL).")
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
    import_to: Annotated[
        str,
        typer.Option(
            "--import", metavar="FOLDER", help="Wait, and import into this content folder of a running editor."
        ),
    ] = "",
    editor: editors.EditorName = "",
    group: editors.Group = editors.DEFAULT_GROUP,
    interfaces: editors.Interfaces = None,
    server: options.Server = "",
    token: options.Token = "",
    authority: options.Authority = None,
    as_json: options.AsJson = False,
) -> None:
    """Queue a job from a photo, up to four photos of different sides, or a mesh file."""
    from bridge_server.cli import progress, submission, transfers
    from bridge_server.cli.connection import connected
    from bridge_server.cli.documents import document
    from bridge_server.cli.following import bare, follow_and_fetch

    if out is not None:
        transfers.refuse_unwritable(out)
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
        if import_to:
            endpoint = editors.endpoint_of(group, interfaces)
            package = _package(client, job.name, out or data_home() / "packages", as_json=as_json)
            editors.show_import(editors.send(package, import_to, editor, endpoint, as_json=as_json), as_json=as_json)
            return
        if wait or out is not None:
            follow_and_fetch(client, job.name, out, as_json=as_json)
    if not as_json:
        output.say(f"Watch it: ./forge watch {bare(job.name)}")


def _package(client: "ForgeClient", job: str, out: Path, *, as_json: bool) -> Path:
    """Wait for the job and fetch its package; returns the package's folder, or ends as the job did."""
    from bridge_server.cli.following import exit_code, fetched

    ended, placed = fetched(client, job, out, as_json=as_json)
    folder = next((path for path in placed if path.is_dir()), None)
    if folder is None:
        raise typer.Exit(exit_code(ended))
    return folder
