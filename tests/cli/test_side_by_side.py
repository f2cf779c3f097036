"""``forge test`` spreads all tests over the cores, and leaves a choice of files or workers to who made it."""

import os
import subprocess
import sys

import pytest

from bridge_server.cli.development import MOST_WORKERS, side_by_side, with_bytecode


def test_the_whole_suite_takes_every_core_up_to_a_limit() -> None:
    assert side_by_side([], 2) == ["-n", "2", "--dist", "loadfile"]
    assert side_by_side(["-m", "not slow"], 2) == side_by_side([], 2)
    assert side_by_side(["-k", "collision"], 64)[1] == str(MOST_WORKERS)


@pytest.mark.parametrize(
    "arguments",
    [
        ["tests/values"],
        ["tests/cli/test_side_by_side.py::test_one"],
        ["-n", "0"],
        ["-nauto"],
        ["--pdb"],
        ["--capture=no"],
        ["-m", "not slow", "tests/cli"],
    ],
)
def test_chosen_files_and_workers_are_left_alone(arguments: list[str]) -> None:
    assert side_by_side(arguments, 8) == []


def test_one_core_gets_no_workers() -> None:
    assert side_by_side([], 1) == []


def test_what_tests_compile_is_kept_where_an_image_says_otherwise() -> None:
    command = [sys.executable, "-c", "import sys; print(sys.dont_write_bytecode)"]
    environment = with_bytecode({**os.environ, "PYTHONDONTWRITEBYTECODE": "1"})
    found = subprocess.run(command, env=environment, capture_output=True, text=True, check=True)
    assert found.stdout.strip() == "False"
