"""``python -m bridge_server``: serve until told to stop."""

import argparse
import logging
import sys
from pathlib import Path

from bridge_server.errors import ForgeError
from bridge_server.settings import load_settings


def main(arguments: list[str] | None = None) -> int:
    """Start the server; 2 where it cannot start, with the reason on standard error."""
    parser = argparse.ArgumentParser(prog="python -m bridge_server", description="Serve Open3DForge over gRPC.")
    parser.add_argument("--config", type=Path, help="settings file in place of configs/server.toml")
    parser.add_argument("--host", help="address to listen at")
    parser.add_argument("--port", type=int, help="port to listen at; 0 takes a free one")
    parser.add_argument("--data", type=Path, help="data folder")
    options = parser.parse_args(arguments)
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(name)s: %(message)s")
    from bridge_server.service.server import serve_forever

    try:
        settings = load_settings(options.config, host=options.host, port=options.port, data=options.data)
        serve_forever(settings)
    except ForgeError as error:
        print(error, file=sys.stderr)  # noqa: T201 - the reason belongs to whoever started it
        return 2
    return 0


if __name__ == "__main__":
    sys.exit(main())
