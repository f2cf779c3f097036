"""``forge plugin``: build the editor plugin's zip, or put it into a project."""

import sys
from pathlib import Path
from typing import Annotated

import typer

from bridge_server.cli import options, output, plugin_archive

app = typer.Typer(no_args_is_help=True, help="The Unreal Editor plugin: build its zip, put it into a project.")
THIS_SYSTEM = {"win32": "Win64", "darwin": "Mac"}.get(sys.platform, "Linux")
Platform = Annotated[str, typer.Option(help="Win64, Linux or Mac.")]


@app.command("build", epilog="Example: ./forge plugin build --platform Win64")
def build(
    *,
    platform: Platform = THIS_SYSTEM,
    out: Annotated[Path, typer.Option(help="Folder for the zip.")] = Path("out"),
    wheels: Annotated[bool, typer.Option(help="Put the wheels in; without, the editor installs them itself.")] = True,
    as_json: options.AsJson = False,
) -> None:
    """Make the zip to drop into a project's or the engine's Plugins folder."""
    built = plugin_archive.build(platform, out, wheels=wheels)
    if as_json:
        output.emit(
            {"path": str(built.path.resolve()), "platform": platform, "files": built.files, "bytes": built.bytes}
        )
        return
    output.say(f"{built.path} ({built.files} files, {output.megabytes(built.bytes)})")
    output.say("Unzip it into <Project>/Plugins and restart the editor.")


@app.command("install", epilog="Example: ./forge plugin install --project ~/Games/Racer/Racer.uproject")
def install(
    *,
    project: Annotated[Path, typer.Option(help="The .uproject file.")],
    platform: Platform = THIS_SYSTEM,
    as_json: options.AsJson = False,
) -> None:
    """Put the plugin into a project, replacing an older one; close the editor first."""
    folder = plugin_archive.install(project, platform)
    if as_json:
        output.emit({"path": str(folder.resolve()), "platform": platform})
        return
    output.say(f"{folder}")
    output.say("Restart the editor; Open3DForge is in the tool bar and under Tools.")
