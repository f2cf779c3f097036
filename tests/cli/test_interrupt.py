"""Ctrl-C ends any command with a sentence and the code that shells use for it."""

import pytest

from bridge_server.cli import output
from bridge_server.cli.exit_codes import ExitCode
from bridge_server.cli.main import run


@pytest.mark.parametrize("command", [["doctor"], ["models", "list"]])
def test_an_interrupt_is_said(monkeypatch, capsys, command):
    def interrupted(*_args: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(output, "table", interrupted)
    assert run(command) == ExitCode.INTERRUPTED
    assert capsys.readouterr().err == "forge: interrupted.\n"
