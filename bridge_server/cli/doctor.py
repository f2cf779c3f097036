"""``forge doctor``: what this installation has, what it lacks, and what to type."""

import platform
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import typer

from bridge_server.cli import options, output
from bridge_server.cli.exit_codes import ExitCode

if TYPE_CHECKING:
    from collections.abc import Iterator

    from bridge_server.service.diagnostics import Finding

LEAST_MEMORY_BYTES = 4 * 10**9
"""Below this, the larger presets may not fit."""


def doctor(
    *,
    server: options.Server = "",
    token: options.Token = "",
    authority: options.Authority = None,
    as_json: options.AsJson = False,
) -> None:
    """Look at Python, machine, backends, weights, presets and server, and say how to mend what is missing."""
    from bridge_server.service.diagnostics import Health

    findings = [*_machine(), *_installation(), _server(server, token, authority)]
    if as_json:
        output.emit(
            {
                "healthy": all(finding.health is not Health.ERROR for finding in findings),
                "findings": [
                    {
                        "subject": finding.subject,
                        "health": finding.health.value,
                        "detail": finding.detail,
                        "remedy": finding.remedy,
                    }
                    for finding in findings
                ],
            }
        )
    else:
        rows = [[finding.health.value, finding.subject, finding.detail, finding.remedy] for finding in findings]
        output.table(["", "what", "found", "remedy"], rows)
    if any(finding.health is Health.ERROR for finding in findings):
        raise typer.Exit(ExitCode.FAILED)


def _machine() -> "Iterator[Finding]":
    from bridge_server.service.devices import find_devices
    from bridge_server.service.diagnostics import Finding, Health

    detail = f"{platform.python_version()} at {sys.executable}"
    yield Finding(subject="python", health=Health.OK, detail=detail)
    processor, *cards = find_devices()
    yield Finding(subject="processor", health=Health.OK, detail=f"{processor.model}, {processor.cores} cores")
    enough = processor.memory_bytes >= LEAST_MEMORY_BYTES
    yield Finding(
        subject="memory",
        health=Health.OK if enough else Health.WARNING,
        detail=output.megabytes(processor.memory_bytes),
        remedy="" if enough else "Use presets with maps of 1024 px or less.",
    )
    for card in cards:
        detail = f"{card.device}: {card.model}, {output.megabytes(card.memory_bytes)}"
        yield Finding(subject="graphics card", health=Health.OK, detail=detail)
    if not cards:
        yield Finding(
            subject="graphics card", health=Health.OK, detail="none for CUDA; everything runs on the processor"
        )


def _installation() -> "Iterator[Finding]":
    from bridge_server.home import data_home
    from bridge_server.pipeline.preset_library import default_library
    from bridge_server.service.diagnostics import Finding, Health, diagnose

    folder = data_home()
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        remedy = "Name a folder you can write to in OPEN3DFORGE_HOME."
        yield Finding(subject="data folder", health=Health.ERROR, detail=f"{folder}: {error.strerror}", remedy=remedy)
        return
    yield from diagnose(default_library(), folder)


def _server(server: str, token: str, authority: Path | None) -> "Finding":
    """A server that was named must answer; that none runs on this machine is no fault."""
    from bridge_server.cli.connection import connected
    from bridge_server.errors import ForgeError
    from bridge_server.service.diagnostics import Finding, Health

    try:
        with connected(server, token, authority) as client:
            info = client.server_info()
            detail = f"{client.endpoint.address}, version {info.version}, {info.running_jobs} jobs run"
            return Finding(subject="server", health=Health.OK, detail=detail)
    except ForgeError as error:
        health = Health.ERROR if server else Health.OK
        subject = f"{error.subject}: " if error.subject else ""
        return Finding(subject="server", health=health, detail=f"{subject}{error.message}", remedy=error.remedy)
