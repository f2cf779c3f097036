"""Import a package from a script: in the editor's Python console, by remote execution, or in a commandlet.

In a commandlet, with nothing on screen::

    UnrealEditor-Cmd Project.uproject -run=pythonscript -script="run_import.py PACKAGE_FOLDER /Game/Props [RESULT.json]"

By remote execution, ``ARGUMENTS_PATH`` names a JSON file with ``manifest_path``, ``destination``, ``result_path``
and optionally ``skeleton_path``, ``progress_path`` and ``in_ticks``. With ``in_ticks`` the script returns at once
and the import goes on a step a tick, so that the editor stays alive; the result file appears when it is done.
"""

import json
import os
import sys
import traceback
from pathlib import Path

import unreal

HERE = Path(__file__).resolve().parent if "__file__" in globals() else Path.cwd()
if str(HERE.parent) not in sys.path:
    sys.path.insert(0, str(HERE.parent))

from unreal_scripts.asset_import import ImportOptions, ImportRefused, ImportResult, import_asset, import_steps  # noqa: E402
from unreal_scripts.asset_import.ticking import TickedImport  # noqa: E402


def write_json(path: str, document: dict[str, object]) -> None:
    """Write a file that is either absent or whole."""
    partial = Path(path + ".partial")
    partial.write_text(json.dumps(document), encoding="utf-8")
    os.replace(partial, path)  # noqa: PTH105 - atomic on every system


def outcome_of(error: BaseException | None, result: ImportResult) -> dict[str, object]:
    """What goes into the result file."""
    if error is None:
        return {"ok": True, "value": result.to_json()}
    expected = isinstance(error, ImportRefused)
    detail = str(error) if expected else "".join(traceback.format_exception(error))
    return {"ok": False, "error": detail, "kind": type(error).__name__}


def run_with_arguments(arguments: dict[str, object]) -> None:
    """Entry by remote execution."""
    result = ImportResult()
    result_path = str(arguments["result_path"])
    options = ImportOptions(
        skeleton_path=str(arguments.get("skeleton_path") or ""),
        verify_digests=bool(arguments.get("verify_digests", True)),
    )
    manifest_path, destination = str(arguments["manifest_path"]), str(arguments["destination"])
    if arguments.get("in_ticks"):
        progress_path = str(arguments.get("progress_path") or "")

        def told(fraction: float, title: str) -> None:
            if progress_path:
                write_json(progress_path, {"fraction": fraction, "title": title})

        def ended(error: BaseException | None) -> None:
            write_json(result_path, outcome_of(error, result))

        TickedImport(import_steps(manifest_path, destination, options, result), told, ended).start()
        return
    try:
        result = import_asset(manifest_path, destination, options)
    except Exception as error:  # noqa: BLE001 - whatever it is, the caller has to be told
        write_json(result_path, outcome_of(error, result))
    else:
        write_json(result_path, outcome_of(None, result))


def run_from_command_line(words: list[str]) -> int:
    """Entry in a commandlet: package folder, content folder, and where to write the result."""
    if len(words) not in (2, 3):
        unreal.log_error("Usage: run_import.py PACKAGE_FOLDER /Game/FOLDER [RESULT.json]")
        return 2
    result = ImportResult()
    error: BaseException | None = None
    try:
        result = import_asset(words[0], words[1], show_progress=False)
        unreal.log(result.summary())
    except Exception as problem:  # noqa: BLE001 - reported, then the exit code tells
        error = problem
        unreal.log_error(str(outcome_of(problem, result)["error"]))
    if len(words) == 3:
        write_json(words[2], outcome_of(error, result))
    return 0 if error is None else 1


if __name__ == "__main__":
    if "ARGUMENTS_PATH" in globals():
        run_with_arguments(json.loads(Path(globals()["ARGUMENTS_PATH"]).read_text(encoding="utf-8")))
    else:
        status = run_from_command_line(sys.argv[1:])
        if status:
            raise SystemExit(status)
