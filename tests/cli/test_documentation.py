"""The page about the command line lists what there is."""

import re
from pathlib import Path

import pytest

from bridge_server.cli.exit_codes import ExitCode
from bridge_server.cli.main import COMMANDS, GROUPS, run

PAGE = (Path(__file__).resolve().parents[2] / "docs" / "command_line.md").read_text()


def test_every_command_is_listed() -> None:
    section = PAGE.split("## Commands")[1].split("\n## ")[0]
    assert set(re.findall(r"^\| `(\w+)` \|", section, re.M)) == {*COMMANDS, *GROUPS}


def test_every_exit_code_is_listed() -> None:
    listed = re.findall(r"^\| (\d+) \| (\w+) \|", PAGE, re.M)
    assert [(int(code), name) for code, name in listed] == [(code.value, code.name) for code in ExitCode]


@pytest.mark.parametrize("name", list(COMMANDS))
def test_help_has_an_example(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert run([name, "--help"]) == ExitCode.OK
    seen = capsys.readouterr().out
    assert f"./forge {name}" in seen
    assert "--json" in seen


@pytest.mark.parametrize("group", list(GROUPS))
def test_help_of_a_group_has_examples(group: str, capsys: pytest.CaptureFixture[str]) -> None:
    for command in GROUPS[group].registered_commands:
        assert run([group, str(command.name), "--help"]) == ExitCode.OK
        seen = capsys.readouterr().out
        assert f"./forge {group} {command.name}" in seen
        assert "--json" in seen
