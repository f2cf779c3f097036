"""``forge presets``: list, show, save and delete."""

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from bridge_server.cli import options, output

if TYPE_CHECKING:
    from open3dforge.v1 import catalogue_pb2

app = typer.Typer(no_args_is_help=True, help="Presets: list, show, save, delete.")
PresetName = Annotated[str, typer.Argument(metavar="PRESET", help="Name of the preset.")]


@app.command("list", epilog="Example: ./forge presets list")
def list_presets(
    *,
    server: options.Server = "",
    token: options.Token = "",
    authority: options.Authority = None,
    as_json: options.AsJson = False,
) -> None:
    """List the shipped presets and the saved ones."""
    from bridge_server.cli.connection import connected
    from bridge_server.cli.documents import enum_word

    with connected(server, token, authority) as client:
        found = client.list_presets()
    if as_json:
        output.emit({"presets": [_document(preset) for preset in found]})
        return
    rows = [
        [
            preset.name.removeprefix("presets/"),
            enum_word(preset, "asset_type"),
            preset.quality,
            "shipped" if preset.shipped else "saved",
            preset.description,
        ]
        for preset in found
    ]
    output.table(["preset", "type", "quality", "", "description"], rows)


@app.command("show", epilog="Example: ./forge presets show prop_UE5_standard > mine.json")
def show_preset(
    preset: PresetName,
    *,
    server: options.Server = "",
    token: options.Token = "",
    authority: options.Authority = None,
    as_json: options.AsJson = False,
) -> None:
    """Print a preset's JSON document; edit it, give it a new name, and save it."""
    from bridge_server.cli.connection import connected

    with connected(server, token, authority) as client:
        found = client.get_preset(preset)
    if as_json:
        output.emit({"preset": _document(found)})
    else:
        output.say(found.document.rstrip())


@app.command("save", epilog="Example: ./forge presets save mine.json")
def save_preset(
    file: Annotated[Path, typer.Argument(help="JSON document of the preset; - reads standard input.")],
    *,
    server: options.Server = "",
    token: options.Token = "",
    authority: options.Authority = None,
    as_json: options.AsJson = False,
) -> None:
    """Check a preset and keep it on the server under the name that it holds."""
    from bridge_server.cli.connection import connected

    text = _read(file)
    with connected(server, token, authority) as client:
        saved = client.save_preset(text)
    if as_json:
        output.emit({"preset": _document(saved)})
    else:
        output.say(f"{saved.name.removeprefix('presets/')} saved")


@app.command("delete", epilog="Example: ./forge presets delete mine")
def delete_preset(
    preset: PresetName,
    *,
    server: options.Server = "",
    token: options.Token = "",
    authority: options.Authority = None,
    as_json: options.AsJson = False,
) -> None:
    """Delete a saved preset; shipped ones stay."""
    from bridge_server.cli.connection import connected

    with connected(server, token, authority) as client:
        client.delete_preset(preset)
    if as_json:
        output.emit({"deleted": preset})
    else:
        output.say(f"{preset} deleted")


def _document(preset: "catalogue_pb2.Preset") -> dict[str, object]:
    """The preset with its own document as JSON in place of text."""
    import json

    from bridge_server.cli.documents import document

    return {**document(preset), "name": preset.name.removeprefix("presets/"), "document": json.loads(preset.document)}


def _read(file: Path) -> str:
    from bridge_server.errors import InputError

    try:
        return sys.stdin.read() if str(file) == "-" else file.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise InputError(f"cannot be read: {error}.", subject=str(file), remedy="Give a JSON file.") from error
