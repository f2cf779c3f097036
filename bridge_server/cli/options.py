"""Options that several commands share."""

from pathlib import Path
from typing import Annotated

import typer

AsJson = Annotated[bool, typer.Option("--json", help="Print JSON for machines on standard output.")]
Server = Annotated[
    str,
    typer.Option(
        envvar="OPEN3DFORGE_SERVER",
        help="host:port of the server; default: the one running on this machine.",
        show_default=False,
    ),
]
Token = Annotated[
    str,
    typer.Option(
        envvar="OPEN3DFORGE_TOKEN", help="Token of a server that asks for one.", show_default=False, show_envvar=True
    ),
]
Authority = Annotated[
    Path | None,
    typer.Option(
        "--ca",
        envvar="OPEN3DFORGE_CA",
        help="PEM file of the authority that signed the server's certificate; default: the system's.",
        show_default=False,
    ),
]
JobName = Annotated[str, typer.Argument(metavar="JOB", help="The job's name, as `forge jobs` lists it.")]
Overrides = Annotated[
    list[str] | None,
    typer.Option(
        "--set",
        metavar="STAGE.FIELD=VALUE",
        help="Change one setting of the preset, e.g. decimate.triangle_count=5000. May be repeated.",
    ),
]
