"""``server.json`` in the data folder: how clients on this machine find the server that runs."""

import contextlib
import json
import os
from dataclasses import dataclass
from pathlib import Path

from bridge_server import __version__

SCHEMA = "open3dforge.server.v1"
FILE_NAME = "server.json"


@dataclass(frozen=True, slots=True, kw_only=True)
class Discovery:
    """What the file says."""

    address: str
    """Host and port."""
    pid: int
    tls: bool
    version: str


def announce(data: Path, address: str, *, tls: bool) -> None:
    """Write the file, whole or not at all."""
    content = {"schema": SCHEMA, "address": address, "pid": os.getpid(), "tls": tls, "version": __version__}
    partial = data / f".{FILE_NAME}.{os.getpid()}.partial"
    partial.write_text(json.dumps(content) + "\n", encoding="utf-8")
    partial.replace(data / FILE_NAME)


def discover(data: Path) -> Discovery | None:
    """What the file says; None where there is none or it is damaged. A killed server leaves its file behind."""
    try:
        content = json.loads((data / FILE_NAME).read_text(encoding="utf-8"))
        if content["schema"] != SCHEMA:
            return None
        return Discovery(
            address=str(content["address"]),
            pid=int(content["pid"]),
            tls=bool(content["tls"]),
            version=str(content["version"]),
        )
    except (OSError, ValueError, KeyError, TypeError):
        return None


def withdraw(data: Path) -> None:
    """Remove the file where it is this process's own."""
    found = discover(data)
    if found is not None and found.pid == os.getpid():
        with contextlib.suppress(OSError):
            (data / FILE_NAME).unlink()
