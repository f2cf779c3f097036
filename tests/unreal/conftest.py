"""A golden package, and simulated editors of every version."""

from pathlib import Path

import pytest

from bridge_server.package.assemble import write_package
from tests.package.forged import forged_asset, forged_record

VERSIONS = ("5.4", "5.5", "5.6")


@pytest.fixture(scope="session")
def golden_package(tmp_path_factory) -> Path:
    """A finished package in a folder with a space and an umlaut."""
    return write_package(forged_asset(), forged_record(), tmp_path_factory.mktemp("package") / "my props ü").folder


@pytest.fixture(params=VERSIONS)
def version(request) -> str:
    """An engine version."""
    return str(request.param)
