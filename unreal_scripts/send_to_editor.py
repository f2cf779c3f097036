"""Import a package into a running editor from outside: ``python send_to_editor.py PACKAGE /Game/Props [EDITOR]``.

Needs no more than a standard Python and Unreal's own remote execution. What travels is a constant line and the path
of a JSON file, never source text. The import goes on a tick at a time, so the editor stays usable.
"""

import json
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

if __name__ == "__main__":
    sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from unreal_scripts.remote_execution import (
    EditorSilent,
    Endpoint,
    RemoteExecutionError,
    connect,
)
from unreal_scripts.remote_execution.client import bootstrap

SCRIPT = Path(__file__).resolve().with_name("run_import.py")
POLL_S = 0.1
ALIVE_EVERY_S = 2.0


class ImportFailed(RemoteExecutionError):
    """The editor refused or failed the import; the message is what it says."""


def send_package(
    package: Path,
    destination: str,
    editor: str = "",
    *,
    endpoint: Endpoint | None = None,
    deadline_s: float = 900.0,
    on_progress: Callable[[float, str], None] | None = None,
    skeleton_path: str = "",
    verify_digests: bool = True,
) -> dict[str, object]:
    """Import a package folder through the editor that ``editor`` names; returns the fields of ``ImportResult``.

    Raises ``EditorNotFound`` with the diagnosis, ``EditorSilent`` where the editor goes away, ``ImportFailed``.
    """
    with tempfile.TemporaryDirectory(prefix="open3dforge-") as folder, connect(editor, endpoint) as session:
        result, progress = Path(folder, "import.json"), Path(folder, "progress.json")
        arguments = Path(folder, "arguments.json")
        arguments.write_text(
            json.dumps(
                {
                    "manifest_path": str(package.resolve()),
                    "destination": destination,
                    "result_path": str(result),
                    "progress_path": str(progress),
                    "skeleton_path": skeleton_path,
                    "verify_digests": verify_digests,
                    "in_ticks": True,
                }
            ),
            encoding="utf-8",
        )
        started = session.run(bootstrap(SCRIPT, arguments))
        if not started.success:
            raise ImportFailed(started.result)
        end = time.monotonic() + deadline_s
        next_sign = time.monotonic() + ALIVE_EVERY_S
        told = ""
        while not result.exists():
            if time.monotonic() > end:
                raise EditorSilent(f"{session.node} did not finish the import within {deadline_s:g} s.")
            if time.monotonic() > next_sign:
                session.run("None", deadline_s=max(end - time.monotonic(), 1.0))
                next_sign = time.monotonic() + ALIVE_EVERY_S
            text = progress.read_text(encoding="utf-8") if progress.exists() else ""
            if on_progress is not None and text and text != told:
                told = text
                step = json.loads(text)
                on_progress(float(step["fraction"]), str(step["title"]))
            time.sleep(POLL_S)
        answer = json.loads(result.read_text(encoding="utf-8"))
    if not answer["ok"]:
        raise ImportFailed(str(answer["error"]))
    return dict(answer["value"])


def main(words: list[str]) -> int:
    """Command line; returns the exit status."""
    if len(words) not in (2, 3):
        sys.stderr.write(f"{__doc__}\n")
        return 2
    try:
        value = send_package(
            Path(words[0]),
            *words[1:],
            on_progress=lambda fraction, title: print(f"{fraction:4.0%} {title}", flush=True),  # noqa: T201
        )
    except RemoteExecutionError as error:
        sys.stderr.write(f"{error}\n")
        return 1
    sys.stdout.write(json.dumps(value, indent=2) + "\n")
    return 0


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))
