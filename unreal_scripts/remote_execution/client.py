"""A session with one editor: it connects to us, we send one command at a time, and read until the answer is whole.

The editor parses whatever lies in its buffer as one command and says nothing where that fails, so a command goes
out alone, in one piece, and silence until the deadline counts as failure. Answers above about 2 MiB may be cut by
the editor; ``Editor.run_script`` therefore takes its result through a file.
"""

import contextlib
import json
import socket
import tempfile
import time
from pathlib import Path
from types import TracebackType

from unreal_scripts.remote_execution.discovery import (
    PING_INTERVAL_S,
    DiscoverySocket,
    EditorNode,
    Endpoint,
    choose,
    collect,
    open_discovery,
)
from unreal_scripts.remote_execution.errors import EditorNotFound, EditorSilent, RemoteExecutionError
from unreal_scripts.remote_execution.messages import CommandResult, ExecMode, Message, command_result, decode

SETTLE_S = 1.0
ACCEPT_S = 5.0
ACCEPT_TRIES = 6
ALIVE_S = 5.0
"""After so long without a pong Unreal's own client takes a node for gone."""
RECEIVE_BYTES = 1 << 16


class RemoteCommandFailed(RemoteExecutionError):
    """The editor ran the code and it raised; the message is the editor's traceback."""

    def __init__(self, message: str, result: CommandResult) -> None:
        super().__init__(message)
        self.result = result


class Editor:
    """An open session. Use as a context manager; not for several threads at once."""

    def __init__(self, discovery: DiscoverySocket, node: EditorNode, accept_s: float = ACCEPT_S) -> None:
        self.node = node
        self._discovery = discovery
        self._accept_s = accept_s
        self._connection: socket.socket | None = None

    def __enter__(self) -> "Editor":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """End the session; the editor goes on."""
        self._drop()
        with contextlib.suppress(OSError):
            self._discovery.broadcast("close_connection", self.node.node_id)
        self._discovery.close()

    def run(
        self,
        code: str,
        mode: ExecMode = ExecMode.EXECUTE_STATEMENT,
        *,
        unattended: bool = True,
        deadline_s: float = 60.0,
    ) -> CommandResult:
        """Run ``code`` and wait for its result. ``unattended`` keeps the editor from opening dialogs.

        A connection that was lost before the command went out is opened again; a command that may have reached the
        editor is never sent twice. Raises ``EditorSilent`` where no answer comes within ``deadline_s``.
        """
        connection = self._connected()
        request = Message(
            "command",
            self._discovery.node_id,
            self.node.node_id,
            {"command": code, "unattended": unattended, "exec_mode": mode.value},
        ).encode()
        end = time.monotonic() + deadline_s
        try:
            connection.settimeout(deadline_s)
            connection.sendall(request)
            return self._answer(connection, end, deadline_s)
        except OSError as error:
            self._drop()
            raise EditorSilent(f"The connection to {self.node} broke: {error}. Was the editor closed?") from error

    def run_script(self, script: Path, arguments: dict[str, object], deadline_s: float = 600.0) -> object:
        """Run a script file of this machine in the editor and return what it wrote as its result.

        Only two paths travel: the script's, and that of a JSON file with ``arguments`` plus ``result_path``, to which
        the script writes ``{"ok": ..., "value": ...}``. It finds the file's path in its global
        ``ARGUMENTS_PATH``. Raises ``RemoteCommandFailed`` with the script's error.
        """
        with tempfile.TemporaryDirectory(prefix="open3dforge-") as folder:
            arguments_path = Path(folder, "arguments.json")
            result_path = Path(folder, "result.json")
            arguments_path.write_text(json.dumps({**arguments, "result_path": str(result_path)}), encoding="utf-8")
            outcome = self.run(bootstrap(script, arguments_path), deadline_s=deadline_s)
            if not outcome.success:
                raise RemoteCommandFailed(f"{script.name} failed in {self.node}:\n{outcome.result}", outcome)
            try:
                answer = json.loads(result_path.read_text(encoding="utf-8"))
            except (OSError, ValueError) as error:
                raise RemoteCommandFailed(f"{script.name} left no readable result in {self.node}.", outcome) from error
        if not answer.get("ok"):
            raise RemoteCommandFailed(str(answer.get("error", "unknown error")), outcome)
        return answer.get("value")

    def _answer(self, connection: socket.socket, end: float, deadline_s: float) -> CommandResult:
        received = bytearray()
        while (left_s := end - time.monotonic()) > 0:
            connection.settimeout(left_s)
            try:
                piece = connection.recv(RECEIVE_BYTES)
            except TimeoutError:
                break
            if not piece:
                self._drop()
                raise EditorSilent(f"{self.node} closed the connection before it answered. Was the editor closed?")
            received += piece
            # Parsing a large answer after each piece would cost quadratic time; a whole one ends with a brace.
            message = decode(bytes(received)) if received.rstrip()[-1:] == b"}" else None
            if message is not None and message.kind == "command_result":
                return command_result(message)
        self._drop()
        got = f" ({len(received)} bytes of an incomplete answer came)" if received else ""
        raise EditorSilent(
            f"{self.node} gave no answer within {deadline_s:g} s{got}. It may be busy, stopped in a dialog, or in the "
            "debugger; look at its window, and allow more time for long work."
        )

    def _connected(self) -> socket.socket:
        if self._connection is not None and not _is_closed(self._connection):
            return self._connection
        self._drop()
        self._check_alive()
        with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as listener:
            listener.bind(("127.0.0.1", 0))
            listener.listen(1)
            listener.settimeout(self._accept_s)
            address, port = listener.getsockname()
            for _ in range(ACCEPT_TRIES):
                self._discovery.broadcast(
                    "open_connection", self.node.node_id, {"command_ip": address, "command_port": port}
                )
                try:
                    connection, _ = listener.accept()
                except TimeoutError:
                    continue
                self._connection = connection
                return connection
        raise EditorSilent(
            f"{self.node} answered a ping but did not connect to 127.0.0.1:{port}. A firewall may block programs from "
            "connecting on this machine, or another tool's session holds the editor; close that tool and try again."
        )

    def _check_alive(self) -> None:
        """Waiting for an editor that is gone would take the whole of the accept tries: ask it for a sign first."""
        end = time.monotonic() + ALIVE_S
        while time.monotonic() < end:
            self._discovery.broadcast("ping", self.node.node_id)
            for message, _ in self._discovery.received(min(end, time.monotonic() + PING_INTERVAL_S)):
                if message.kind == "pong" and message.source == self.node.node_id:
                    return
        raise EditorSilent(f"{self.node} is not there any more. Was the editor closed?")

    def _drop(self) -> None:
        if self._connection is not None:
            self._connection.close()
            self._connection = None


def bootstrap(script: Path, arguments_path: Path) -> str:
    """The one line that travels: runs a script of this machine, which finds ``ARGUMENTS_PATH`` in its globals.

    Sent as a statement, which the editor never mistakes for a file name whatever the paths hold.
    """
    return (
        f"__import__('runpy').run_path({json.dumps(str(script.resolve()))}, "
        f"{{'ARGUMENTS_PATH': {json.dumps(str(arguments_path))}}}, '__main__') and None"
    )


def _is_closed(connection: socket.socket) -> bool:
    """Whether the editor has hung up, or unread bytes of an earlier answer are left, which would confuse the next."""
    connection.settimeout(0.0)
    try:
        connection.recv(1, socket.MSG_PEEK)
    except (BlockingIOError, InterruptedError):
        return False
    except OSError:
        return True
    return True


def connect(
    wish: str = "", endpoint: Endpoint | None = None, find_s: float = 3.0, accept_s: float = ACCEPT_S
) -> Editor:
    """Open a session with the editor that ``wish`` names (project name, its start, node id; empty for the only one).

    Raises ``EditorNotFound`` with the diagnosis, or with the names to choose from.
    """
    where = endpoint or Endpoint()
    discovery = open_discovery(where)
    try:
        nodes = tuple(collect(discovery, find_s, SETTLE_S))
        return Editor(discovery, choose(nodes, wish, where, find_s), accept_s)
    except EditorNotFound:
        discovery.close()
        raise
