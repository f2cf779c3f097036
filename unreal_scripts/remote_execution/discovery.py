"""Finding running editors: a ping to the multicast group, and the pongs that come back.

An editor joins the group on the interface that its "Multicast Bind Address" setting names, which is 127.0.0.1 by
default since 5.3 and was 0.0.0.0 before. On Windows a socket bound to an interface's address gets the group's
traffic; on Linux and macOS it gets none unless it is bound to all addresses and joins by interface. So this binds
by platform, joins on every interface of the endpoint, and pings through each of them.
"""

import contextlib
import socket
import struct
import sys
import time
import uuid
from collections.abc import Iterator
from dataclasses import dataclass

from unreal_scripts.remote_execution.errors import SETTINGS_PAGE, EditorNotFound
from unreal_scripts.remote_execution.messages import Message, decode

PING_INTERVAL_S = 0.5
LARGEST_DATAGRAM = 65_536


@dataclass(frozen=True)
class Endpoint:
    """Where editors are looked for; the defaults are Unreal's own."""

    group: str = "239.0.0.1"
    port: int = 6766
    interfaces: tuple[str, ...] = ("127.0.0.1", "0.0.0.0")  # noqa: S104 - joining a group, not listening
    """Addresses of the interfaces to join and ping on; 0.0.0.0 stands for the system's default one."""
    time_to_live: int = 0
    """0 keeps pings on this machine; 1 reaches the local network."""


@dataclass(frozen=True)
class EditorNode:
    """One running editor, as its pong describes it."""

    node_id: str
    project_name: str
    project_root: str
    engine_version: str
    engine_root: str
    user: str
    machine: str
    address: str
    """Where the pong came from."""

    def __str__(self) -> str:
        return f"{self.project_name or '(no project)'} (Unreal {self.engine_version}, {self.machine or self.address})"


class DiscoverySocket:
    """The UDP side: pings, pongs, and the open and close requests that go to one editor."""

    def __init__(self, endpoint: Endpoint) -> None:
        self.endpoint = endpoint
        self.node_id = str(uuid.uuid4())
        self.joined: list[str] = []
        self.refused: list[str] = []
        self._socket = socket.socket(socket.AF_INET, socket.SOCK_DGRAM, socket.IPPROTO_UDP)
        try:
            self._prepare()
        except OSError:
            self._socket.close()
            raise

    def __enter__(self) -> "DiscoverySocket":
        return self

    def __exit__(self, *exception: object) -> None:
        self.close()

    def close(self) -> None:
        """Leave the group."""
        self._socket.close()

    def broadcast(self, kind: str, destination: str = "", data: dict[str, object] | None = None) -> None:
        """Send one message to the group, through every interface that could be joined."""
        raw = Message(kind, self.node_id, destination, data).encode()
        for interface in self.joined:
            with contextlib.suppress(OSError):
                self._socket.setsockopt(socket.IPPROTO_IP, socket.IP_MULTICAST_IF, socket.inet_aton(interface))
                self._socket.sendto(raw, (self.endpoint.group, self.endpoint.port))

    def received(self, until: float) -> Iterator[tuple[Message, str]]:
        """Valid messages for this node and the address each came from, until the monotonic time ``until``."""
        while (left_s := until - time.monotonic()) > 0:
            self._socket.settimeout(left_s)
            try:
                raw, sender = self._socket.recvfrom(LARGEST_DATAGRAM)
            except TimeoutError:
                return
            except ConnectionResetError:  # Windows reports an unreachable port of an earlier send here
                continue
            message = decode(raw)
            if message and message.source != self.node_id and message.destination in ("", self.node_id):
                yield message, str(sender[0])

    def _prepare(self) -> None:
        options = self._socket
        options.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        if hasattr(socket, "SO_REUSEPORT"):
            options.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        options.setsockopt(socket.IPPROTO_IP, socket.IP_MULTICAST_LOOP, 1)
        options.setsockopt(socket.IPPROTO_IP, socket.IP_MULTICAST_TTL, self.endpoint.time_to_live)
        options.bind((bind_address(self.endpoint), self.endpoint.port))
        for interface in self.endpoint.interfaces:
            membership = struct.pack("=4s4s", socket.inet_aton(self.endpoint.group), socket.inet_aton(interface))
            try:
                options.setsockopt(socket.IPPROTO_IP, socket.IP_ADD_MEMBERSHIP, membership)
                self.joined.append(interface)
            except OSError as error:
                self.refused.append(f"{interface}: {error.strerror or error}")


def bind_address(endpoint: Endpoint, platform: str = sys.platform) -> str:
    """The address to bind to: on Windows the one interface wished for, elsewhere all, or no traffic arrives."""
    if platform == "win32" and len(endpoint.interfaces) == 1:
        return endpoint.interfaces[0]
    return ""


def find_editors(endpoint: Endpoint, seconds: float = 2.0) -> tuple[EditorNode, ...]:
    """All editors that answer within ``seconds``, by project name.

    Raises ``EditorNotFound`` where no socket could be opened or no interface joined.
    """
    with open_discovery(endpoint) as discovery:
        return tuple(collect(discovery, seconds))


def open_discovery(endpoint: Endpoint) -> DiscoverySocket:
    """Open the UDP side, with a diagnosis where the system refuses."""
    try:
        discovery = DiscoverySocket(endpoint)
    except OSError as error:
        raise EditorNotFound(
            f"Cannot listen on UDP port {endpoint.port}: {error.strerror or error}. Another program may hold the port "
            f"alone; close it, or set another 'Multicast Group Endpoint' under {SETTINGS_PAGE} and pass it here."
        ) from error
    if not discovery.joined:
        discovery.close()
        raise EditorNotFound(
            f"No network interface could join {endpoint.group}:{endpoint.port} ({'; '.join(discovery.refused)}). "
            "On Linux, `ip route add 239.0.0.1 dev lo` lets the loopback interface carry multicast."
        )
    return discovery


def collect(discovery: DiscoverySocket, seconds: float, settle_s: float | None = None) -> list[EditorNode]:
    """Ping again and again for ``seconds`` and gather the editors that answer, by project name.

    With ``settle_s``, waits no longer than that for others once the first has answered.
    """
    found: dict[str, EditorNode] = {}
    end = time.monotonic() + seconds
    while (now := time.monotonic()) < end:
        discovery.broadcast("ping")
        for message, sender in discovery.received(min(end, now + PING_INTERVAL_S)):
            if message.kind == "pong":
                if not found and settle_s is not None:
                    end = min(end, time.monotonic() + settle_s)
                found[message.source] = node_of(message, sender)
    return sorted(found.values(), key=lambda node: (node.project_name.lower(), node.node_id))


def node_of(message: Message, sender: str) -> EditorNode:
    """Read a pong."""
    data = message.data or {}

    def text(name: str) -> str:
        return str(data.get(name) or "")

    return EditorNode(
        node_id=message.source,
        project_name=text("project_name"),
        project_root=text("project_root"),
        engine_version=text("engine_version"),
        engine_root=text("engine_root"),
        user=text("user"),
        machine=text("machine"),
        address=sender,
    )


def choose(nodes: tuple[EditorNode, ...], wish: str, endpoint: Endpoint, seconds: float) -> EditorNode:
    """The one editor meant by ``wish``: a project name, the start of one, a node id, or empty for the only one.

    Raises ``EditorNotFound`` whose text says what to switch on, or which names to choose from.
    """
    if not nodes:
        raise EditorNotFound(diagnosis(endpoint, seconds))
    exact = [n for n in nodes if wish and wish.lower() in (n.project_name.lower(), n.node_id.lower())]
    matching = exact or [n for n in nodes if n.project_name.lower().startswith(wish.lower())]
    if len(matching) == 1:
        return matching[0]
    listing = "; ".join(f"{node} id {node.node_id}" for node in (matching or nodes))
    if matching:
        raise EditorNotFound(f"{len(matching)} running editors match {wish!r}: {listing}. Name one by project or id.")
    raise EditorNotFound(f"No running editor is called {wish!r}. Running: {listing}.")


def diagnosis(endpoint: Endpoint, seconds: float) -> str:
    """Why nobody may have answered, most likely cause first."""
    everywhere = (
        ""
        if sys.platform == "win32"
        else (" On Linux and macOS set 'Multicast Bind Address' to 0.0.0.0: bound to 127.0.0.1 it hears nobody.")
    )
    reach = "on this machine" if endpoint.time_to_live == 0 else "in the local network"
    return (
        f"No Unreal Editor {reach} answered on {endpoint.group}:{endpoint.port} within {seconds:g} s. Check that the "
        f"editor is running with a project open, that Edit > Plugins > 'Python Editor Script Plugin' is on, and that "
        f"{SETTINGS_PAGE} > 'Enable Remote Execution' is ticked, with 'Multicast Group Endpoint' "
        f"{endpoint.group}:{endpoint.port} and 'Multicast Time-To-Live' {endpoint.time_to_live}.{everywhere} A "
        f"firewall that blocks UDP port {endpoint.port} has the same effect."
    )
