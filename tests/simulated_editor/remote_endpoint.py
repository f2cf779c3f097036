"""The editor's side of Python remote execution: multicast pings, a TCP connection out to the client, one buffer.

As in the engine, what has arrived is parsed as one JSON document: a command that comes in two pieces with a pause
between them, or two commands at once, is lost without an answer, and so is one that lacks a field.
"""

import contextlib
import json
import queue
import select
import socket
import struct
import threading
import uuid
from collections.abc import Callable
from typing import Any

GROUP = "239.0.0.1"
BUFFER = 2 * 1024 * 1024
REQUIRED = ("command", "unattended", "exec_mode")


class RemoteEndpoint:
    """Listens on its own thread; commands are handed to the game thread and their answers sent from here."""

    def __init__(self, project: str, version: str, port: int, interface: str = "127.0.0.1") -> None:
        self.node = str(uuid.uuid4()).upper()
        self.project, self.version, self.port = project, version, port
        self.commands: queue.Queue[tuple[dict[str, Any], Callable[[dict[str, Any]], None]]] = queue.Queue()
        self.closing = threading.Event()
        self.lost: list[str] = []
        self._udp = socket.socket(socket.AF_INET, socket.SOCK_DGRAM, socket.IPPROTO_UDP)
        self._udp.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        if hasattr(socket, "SO_REUSEPORT"):
            self._udp.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        self._udp.setsockopt(socket.IPPROTO_IP, socket.IP_MULTICAST_LOOP, 1)
        self._udp.setsockopt(socket.IPPROTO_IP, socket.IP_MULTICAST_TTL, 0)
        self._udp.setsockopt(socket.IPPROTO_IP, socket.IP_MULTICAST_IF, socket.inet_aton(interface))
        self._udp.bind(("", port))
        membership = struct.pack("=4s4s", socket.inet_aton(GROUP), socket.inet_aton(interface))
        self._udp.setsockopt(socket.IPPROTO_IP, socket.IP_ADD_MEMBERSHIP, membership)
        self._tcp: socket.socket | None = None
        self._peer = ""
        self._thread = threading.Thread(target=self._serve, name="remote-execution", daemon=True)
        self._thread.start()

    def close(self) -> None:
        """Go away."""
        self.closing.set()
        self._thread.join(1.0)
        self._udp.close()
        if self._tcp is not None:
            self._tcp.close()

    def _serve(self) -> None:
        while not self.closing.is_set():
            sockets = [self._udp] + ([self._tcp] if self._tcp is not None else [])
            ready, _, _ = select.select(sockets, [], [], 0.1)
            if self._udp in ready:
                with contextlib.suppress(OSError):
                    self._datagram(self._udp.recv(65_536))
            if self._tcp is not None and self._tcp in ready:
                self._stream()

    def _datagram(self, raw: bytes) -> None:
        message = _message(raw)
        if message is None or message["source"] == self.node or message.get("dest", "") not in ("", self.node):
            return
        if message["type"] == "ping":
            self._udp_send("pong", message["source"])
        elif message["type"] == "open_connection" and self._tcp is None:
            data = message["data"]
            with contextlib.suppress(OSError):
                self._tcp = socket.create_connection((data["command_ip"], int(data["command_port"])), timeout=2.0)
                self._peer = message["source"]
        elif message["type"] == "close_connection" and message["source"] == self._peer:
            self._hang_up()

    def _stream(self) -> None:
        assert self._tcp is not None
        try:
            raw = self._tcp.recv(BUFFER)
        except OSError:
            raw = b""
        if not raw:
            self._hang_up()
            return
        message = _message(raw)
        if message is None or message["type"] != "command":
            self.lost.append(f"{len(raw)} bytes that are not one command")
            return
        data = message.get("data", {})
        missing = [name for name in REQUIRED if name not in data]
        if missing:
            self.lost.append(f"a command without {missing}")
            return
        connection, client = self._tcp, message["source"]

        def answer(result: dict[str, Any]) -> None:
            document = {"version": 1, "magic": "ue_py", "type": "command_result", "source": self.node, "dest": client}
            raw_answer = json.dumps({**document, "data": result}, ensure_ascii=False).encode("utf-8")
            with contextlib.suppress(OSError):
                connection.sendall(raw_answer)

        self.commands.put((data, answer))

    def _hang_up(self) -> None:
        if self._tcp is not None:
            self._tcp.close()
        self._tcp, self._peer = None, ""

    def _udp_send(self, kind: str, destination: str) -> None:
        data = {
            "user": "artist",
            "machine": "workstation",
            "engine_version": f"{self.version}.0-0",
            "engine_root": "/Engine",
            "project_root": f"/Projects/{self.project}",
            "project_name": self.project,
        }
        document = {
            "version": 1,
            "magic": "ue_py",
            "type": kind,
            "source": self.node,
            "dest": destination,
            "data": data,
        }
        self._udp.sendto(json.dumps(document).encode("utf-8"), (GROUP, self.port))


def _message(raw: bytes) -> dict[str, Any] | None:
    try:
        message = json.loads(raw.decode("utf-8"))
    except ValueError:
        return None
    if not isinstance(message, dict) or message.get("version") != 1 or message.get("magic") != "ue_py":
        return None
    return message
