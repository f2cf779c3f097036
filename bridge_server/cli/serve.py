"""``forge serve``: run the server in the foreground."""

import contextlib
import logging
from pathlib import Path
from typing import Annotated

import typer

from bridge_server.cli import options, output


def serve(
    *,
    host: Annotated[
        str | None, typer.Option(help="Address to listen at; away from loopback TLS and a token are needed.")
    ] = None,
    port: Annotated[int | None, typer.Option(help="Port to listen at; 0 takes a free one.")] = None,
    data: Annotated[Path | None, typer.Option(help="Data folder in place of the user's.")] = None,
    config: Annotated[Path | None, typer.Option(help="Settings file (TOML); default: configs/server.toml.")] = None,
    as_json: options.AsJson = False,
) -> None:
    """Run the server until Ctrl-C. Its jobs survive a stop and go on when it starts again."""
    from bridge_server.cli.signals import termination_raises
    from bridge_server.service.server import start_server
    from bridge_server.settings import load_settings

    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(name)s: %(message)s")
    settings = load_settings(config, host=host, port=port, data=data)
    with termination_raises(), contextlib.suppress(KeyboardInterrupt):
        running = start_server(settings)
        try:
            if as_json:
                output.emit({"address": running.address, "data": str(settings.data)})
            else:
                output.say(f"open3dforge listening on {running.address}, data in {settings.data}; Ctrl-C stops it")
            running.wait()
        finally:
            running.stop()
