"""The editor process: a game thread that ticks, and a control channel on standard input and output.

``python -S -m tests.simulated_editor.editor --version 5.6 --project FOLDER [--name NAME] [--remote-port N]
[--plugin FOLDER] [--commandlet "SCRIPT ARGS"]``. Control lines are JSON objects with ``do``; each gets one line back.
"""

import argparse
import ast
import contextlib
import gc
import io
import json
import queue
import runpy
import shlex
import sys
import threading
import time
import traceback
from pathlib import Path
from typing import Any


class Blocked:
    """Makes sure that nothing of the server is within reach, as in a real editor."""

    def find_spec(self, name: str, path: Any = None, target: Any = None) -> None:
        if name.partition(".")[0] in ("bridge_server", "numpy", "scipy", "pytest"):
            raise ImportError(f"{name} is not part of an editor")


def main() -> int:
    """Run until told to quit."""
    options = argparse.ArgumentParser()
    options.add_argument("--version", required=True)
    options.add_argument("--project", required=True, type=Path)
    options.add_argument("--name", default="SimProject")
    options.add_argument("--remote-port", type=int, default=0)
    options.add_argument("--plugin", type=Path)
    options.add_argument("--commandlet", default="")
    chosen = options.parse_args()
    sys.meta_path.insert(0, Blocked())  # type: ignore[arg-type]
    module = open_editor(chosen.version, chosen.project)
    from tests.simulated_editor.interface import SCREEN

    SCREEN.unattended = bool(chosen.commandlet)
    if chosen.commandlet:
        if chosen.plugin:
            start_plugin(chosen.plugin)  # start-up scripts run in a commandlet too
        return run_commandlet(chosen.commandlet)
    editor = Editor(module, chosen)
    editor.loop()
    return 0


def open_editor(version: str, project: Path) -> Any:
    """Make the ``unreal`` module and the project's content."""
    from tests.simulated_editor import capturing, importing, interface, materials, meshes, unreal_module
    from tests.simulated_editor.content import CONTENT, Content

    module = unreal_module.build(version)
    module.__version__ = version
    sys.modules["unreal"] = module
    CONTENT[:] = [Content(project)]
    meshes.install_slots(module)
    interface.install_scopes(module)
    assert all((importing, materials, capturing))
    # The engine's own objects are no part of a real editor's Python heap: keep the collector off them, so that its
    # time in a tick is what the product's objects cost.
    gc.collect()
    gc.freeze()
    return module


def start_plugin(plugin: Path) -> None:
    """Put the plugin's folders on the path, and run its start-up script."""
    python = plugin / "Content" / "Python"
    libraries = python / "Lib"
    places = [libraries / "site-packages", libraries / _platform() / "site-packages"]
    for place in (python, *(place for place in places if place.is_dir())):
        sys.path.insert(0, str(place))
    runpy.run_path(str(python / "init_unreal.py"), run_name="__main__")


def run_commandlet(command: str) -> int:
    """As ``-run=pythonscript -script="..."`` does: no ticks, no menus, an exit status."""
    from tests.simulated_editor.content import content

    words = shlex.split(command)
    sys.argv = words
    status = 0
    try:
        runpy.run_path(words[0], run_name="__main__")
    except SystemExit as leaving:
        status = int(leaving.code or 0)
    except BaseException:
        traceback.print_exc()
        status = 1
    for severity, text in content().log:
        sys.stderr.write(f"{severity}: {text}\n")
    if content().dialogs:
        sys.stderr.write(f"DIALOGS {content().dialogs}\n")
        status = status or 3
    return status


class Editor:
    """The interactive editor."""

    def __init__(self, module: Any, chosen: argparse.Namespace) -> None:
        self.module = module
        self.requests: queue.Queue[dict[str, Any] | None] = queue.Queue()
        self.console: dict[str, Any] = {"__name__": "__main__", "unreal": module}
        self.remote = None
        self.out = sys.stdout
        sys.stdout = sys.stderr
        if chosen.remote_port:
            from tests.simulated_editor.remote_endpoint import RemoteEndpoint

            self.remote = RemoteEndpoint(chosen.name, chosen.version, chosen.remote_port)
        if chosen.plugin:
            start_plugin(chosen.plugin)
        threading.Thread(target=self._read, name="control", daemon=True).start()
        self._reply({"ok": True, "value": "ready"})

    def loop(self) -> None:
        """Tick until told to quit, or until the other side hangs up."""
        from tests.simulated_editor.interface import SCREEN, TICK_S, tick

        while True:
            started = time.monotonic()
            try:
                while True:
                    request = self.requests.get_nowait()
                    if request is None:
                        for callback in SCREEN.shutdown:
                            callback()
                        if self.remote is not None:
                            self.remote.close()
                        return
                    self._reply(self._answer(request))
            except queue.Empty:
                pass
            self._run_remote()
            try:
                tick()
            except Exception:
                from tests.simulated_editor.content import content

                content().log.append(("Error", traceback.format_exc()))
            time.sleep(max(0.0, TICK_S - (time.monotonic() - started)))

    def _read(self) -> None:
        for line in sys.stdin:
            request = json.loads(line)
            if request["do"] == "quit":
                break
            self.requests.put(request)
        self.requests.put(None)

    def _reply(self, answer: dict[str, Any]) -> None:
        self.out.write(json.dumps(answer, default=str) + "\n")
        self.out.flush()

    def _answer(self, request: dict[str, Any]) -> dict[str, Any]:
        try:
            return {"ok": True, "value": getattr(self, "do_" + request.pop("do"))(**request)}
        except BaseException as error:
            return {"ok": False, "error": f"{type(error).__name__}: {error}", "trace": traceback.format_exc()}

    def do_python(self, code: str) -> Any:
        """Run code on the game thread; the value of a last expression comes back."""
        tree = ast.parse(code)
        last = tree.body.pop() if tree.body and isinstance(tree.body[-1], ast.Expr) else None
        exec(compile(tree, "<control>", "exec"), self.console)
        return eval(compile(ast.Expression(last.value), "<control>", "eval"), self.console) if last else None

    def do_click(self, menu: str, label: str, assets: list[str] | None = None, folder: str = "") -> str:
        """Click a menu entry."""
        from tests.simulated_editor.interface import click

        return click(menu, label, assets or [], folder)

    def do_press(self, button: str) -> None:
        """Press a button of the tab."""
        from tests.simulated_editor.interface import press

        press(button)

    def do_answer(self, answer: dict[str, Any] | None) -> None:
        """What the person will say to the next details dialog."""
        from tests.simulated_editor.interface import SCREEN

        SCREEN.answers.append(answer)

    def do_fail_next(self, name: str) -> None:
        """Have the engine give up on the next import of a file of that name."""
        from tests.simulated_editor.importing import FAIL_NEXT

        FAIL_NEXT.append(name)

    def do_name_by_joint(self, on: bool) -> None:
        """Whether skeletal meshes get the name of their root joint."""
        from tests.simulated_editor.importing import NAMED_BY_JOINT

        NAMED_BY_JOINT["on"] = on

    def do_state(self) -> dict[str, Any]:
        """Everything a test may want to look at."""
        from tests.simulated_editor.content import _freeze, content
        from tests.simulated_editor.interface import SCREEN
        from tests.simulated_editor.unreal_module import CLOCK

        assets = {}
        for path in content().all_paths():
            asset = content().get(path)
            assets[path] = {
                "class": type(asset).__name__,
                "data": asset._data,
                "tags": asset._tags,
                "properties": {name: _freeze(value) for name, value in asset._values().items()},
                "saved": path not in content().dirty and content().file(path).is_file(),
            }
        costs = sorted(SCREEN.tick_costs_s, key=lambda item: -item[1])
        return {
            "assets": assets,
            "log": content().log,
            "dialogs": content().dialogs,
            "messages": SCREEN.messages,
            "menus": {name: [entry._entry["label"] for entry in entries] for name, entries in SCREEN.menus.items()},
            "slowest_ticks": costs[:5],
            "ticks": len(costs),
            "tick_callbacks": len(SCREEN.ticks),
            "violations": CLOCK.violations,
            "tab": {n: getattr(c, "_text", "") for n, c in SCREEN.tab._children.items()} if SCREEN.tab else {},
            "progress": getattr(SCREEN.tab._children.get("Progress"), "_percent", 0.0) if SCREEN.tab else 0.0,
            "transactions": SCREEN.transactions,
            "lost_commands": self.remote.lost if self.remote is not None else [],
        }

    def _run_remote(self) -> None:
        if self.remote is None:
            return
        try:
            data, answer = self.remote.commands.get_nowait()
        except queue.Empty:
            return
        from tests.simulated_editor.interface import SCREEN

        SCREEN.unattended = bool(data["unattended"])
        try:
            answer(self._execute(str(data["command"]), str(data["exec_mode"])))
        finally:
            SCREEN.unattended = False

    def _execute(self, command: str, mode: str) -> dict[str, Any]:
        printed = io.StringIO()
        result, success = "None", True
        with contextlib.redirect_stdout(printed):
            try:
                if mode == "EvaluateStatement":
                    result = repr(eval(command, self.console))
                elif mode == "ExecuteStatement":
                    exec(compile(command, "<remote>", "single"), self.console)
                else:
                    self._execute_file(command)
            except BaseException:
                success, result = False, traceback.format_exc()
        output = [{"type": "Info", "output": line} for line in printed.getvalue().splitlines()]
        return {"success": success, "command": command, "result": result, "output": output}

    def _execute_file(self, command: str) -> None:
        at = command.find(".py")
        if at >= 0 and (at + 3 == len(command) or command[at + 3] == " "):
            path = command[: at + 3].strip("\"' ")
            if not Path(path).is_file():
                raise FileNotFoundError(f"Could not load Python file '{path}'")
            sys.argv = [path, *shlex.split(command[at + 3 :])]
            runpy.run_path(path, init_globals=dict(self.console), run_name="__main__")
            return
        exec(compile(command, "<remote>", "exec"), self.console)


def _platform() -> str:
    return {"win32": "Win64", "darwin": "Mac"}.get(sys.platform, "Linux")


if __name__ == "__main__":
    raise SystemExit(main())
