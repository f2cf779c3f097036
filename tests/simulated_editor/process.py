"""Driving a simulated editor from a test."""

import contextlib
import json
import os
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from types import TracebackType
from typing import Any

ROOT = Path(__file__).resolve().parent.parent.parent


class EditorProcess:
    """An editor in a bare interpreter: no site-packages, only this repository's root on its path."""

    def __init__(
        self,
        version: str,
        project: Path,
        *,
        name: str = "SimProject",
        remote_port: int = 0,
        plugin: Path | None = None,
        environment: dict[str, str] | None = None,
    ) -> None:
        command = [bare_python(), "-S", "-m", "tests.simulated_editor.editor", "--version", version]
        command += ["--project", str(project), "--name", name]
        command += ["--remote-port", str(remote_port)] if remote_port else []
        command += ["--plugin", str(plugin)] if plugin is not None else []
        self._child = subprocess.Popen(
            command,
            cwd=ROOT,
            env={**bare_environment(), **(environment or {})},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        self._answer()

    def __enter__(self) -> "EditorProcess":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def ask(self, do: str, **arguments: Any) -> Any:
        """One control request; raises ``AssertionError`` with the editor's traceback where it fails."""
        assert self._child.stdin is not None
        self._child.stdin.write(json.dumps({"do": do, **arguments}) + "\n")
        self._child.stdin.flush()
        answer = self._answer()
        if not answer["ok"]:
            raise AssertionError(answer.get("trace") or answer["error"])
        return answer["value"]

    def state(self) -> dict[str, Any]:
        """Assets, log, dialogs, menus, ticks."""
        return dict(self.ask("state"))

    def wait_for(self, condition: Callable[[dict[str, Any]], bool], seconds: float = 60.0) -> dict[str, Any]:
        """The first state that meets the condition."""
        end = time.monotonic() + seconds
        while True:
            state = self.state()
            if condition(state):
                return state
            if time.monotonic() > end:
                shown = {key: state[key] for key in ("log", "dialogs", "messages", "tab")}
                raise AssertionError(f"not met within {seconds} s: {json.dumps(shown, indent=1)}")
            time.sleep(0.05)

    @property
    def exit_status(self) -> int | None:
        """What the process ended with; None while it runs."""
        return self._child.poll()

    def kill(self) -> None:
        """As when the editor crashes."""
        self._child.kill()
        self._child.wait()

    def close(self) -> None:
        """Quit."""
        if self._child.poll() is None:
            with contextlib.suppress(OSError):
                assert self._child.stdin is not None
                self._child.stdin.write(json.dumps({"do": "quit"}) + "\n")
                self._child.stdin.close()
            try:
                self._child.wait(30)
            except subprocess.TimeoutExpired:
                self.kill()

    def _answer(self) -> dict[str, Any]:
        assert self._child.stdout is not None
        line = self._child.stdout.readline()
        if not line:
            raise AssertionError(f"the editor ended with status {self._child.wait()}")
        return dict(json.loads(line))


def run_commandlet(
    version: str, project: Path, command: str, plugin: Path | None = None
) -> subprocess.CompletedProcess[str]:
    """Run a script as ``-run=pythonscript`` does."""
    return subprocess.run(
        [
            bare_python(),
            "-S",
            "-m",
            "tests.simulated_editor.editor",
            "--version",
            version,
            "--project",
            str(project),
            "--commandlet",
            command,
            *(["--plugin", str(plugin)] if plugin is not None else []),
        ],
        cwd=ROOT,
        env=bare_environment(),
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )


def bare_python() -> str:
    """The interpreter behind the virtual environment."""
    return getattr(sys, "_base_executable", None) or sys.executable


def bare_environment() -> dict[str, str]:
    """No paths of ours in the child's environment."""
    return {key: value for key, value in os.environ.items() if not key.startswith(("PYTHON", "VIRTUAL_ENV"))}
