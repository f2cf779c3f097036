"""An output folder that cannot be written is refused before any work is done for it."""

from pathlib import Path

import pytest

from bridge_server.cli.exit_codes import ExitCode
from bridge_server.cli.main import run


@pytest.mark.parametrize("words", [["submit", "photo.png"], ["demo"]], ids=["submit", "demo"])
def test_a_file_in_place_of_the_folder_is_refused_at_once(words, tmp_path: Path, capsys) -> None:
    taken = tmp_path / "taken"
    taken.write_text("a file")
    # The address leads nowhere: the refusal comes before the server is asked for.
    server = ["--server", "127.0.0.1:9"] if words[0] == "submit" else []
    assert run([*words, *server, "--out", str(taken)]) == ExitCode.USAGE
    shown = capsys.readouterr().err
    assert str(taken) in shown
    assert "cannot be written" in shown
    assert "--out" in shown
    assert taken.read_text() == "a file"


def test_the_trial_leaves_nothing_behind(tmp_path: Path, capsys) -> None:
    out = tmp_path / "new" / "folder"
    assert (
        run(["submit", str(tmp_path / "missing.png"), "--out", str(out), "--server", "127.0.0.1:9"]) == ExitCode.USAGE
    )
    assert list(tmp_path.iterdir()) == []
