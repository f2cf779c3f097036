"""The bootstrap, run on small clones whose package needs nothing, so that no test depends on the network."""

import ast
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT / "bootstrap"))
from environment import Environment, SetupFailed  # noqa: E402
from lock import exclusive  # noqa: E402

sys.path.pop(0)

posix_only = pytest.mark.skipif(os.name == "nt", reason="runs ./forge, which needs a POSIX shell")
NONE = frozenset()

PYPROJECT = """
[build-system]
requires = []
build-backend = "tiny_backend"
backend-path = ["."]

[project]
name = "open3dforge"
version = "0.0.1"
dependencies = [{dependencies}]
"""

BACKEND = """
import base64, hashlib, re, zipfile
from pathlib import Path

def get_requires_for_build_editable(config_settings=None):
    return []

def build_editable(folder, config_settings=None, metadata_directory=None):
    name = "open3dforge-0.0.1-py3-none-any.whl"
    needs = re.findall(r'dependencies = \\["(.+?)"\\]', Path("pyproject.toml").read_text())
    info = "Metadata-Version: 2.1\\nName: open3dforge\\nVersion: 0.0.1\\n"
    info += "".join(f"Requires-Dist: {need}\\n" for need in needs)
    files = {
        "open3dforge.pth": str(Path.cwd()),
        "open3dforge-0.0.1.dist-info/METADATA": info,
        "open3dforge-0.0.1.dist-info/WHEEL": "Wheel-Version: 1.0\\nRoot-Is-Purelib: true\\nTag: py3-none-any\\n",
    }
    record = "open3dforge-0.0.1.dist-info/RECORD"
    lines = []
    with zipfile.ZipFile(Path(folder) / name, "w") as wheel:
        for path, text in files.items():
            digest = base64.urlsafe_b64encode(hashlib.sha256(text.encode()).digest()).rstrip(b"=").decode()
            lines.append(f"{path},sha256={digest},{len(text.encode())}")
            wheel.writestr(path, text)
        wheel.writestr(record, "\\n".join([*lines, f"{record},,"]) + "\\n")
    return name
"""

COMMAND_LINE = """
import os, sys
if sys.argv[1:] == ["models", "pull"]:
    sys.exit(int(os.environ.get("WEIGHTS_EXIT", "0")))
print("ran", sys.argv[1:])
sys.exit(7 if "fail" in sys.argv else 0)
"""


def make_clone(folder: Path, dependencies: str = "") -> Path:
    shutil.copytree(ROOT / "bootstrap", folder / "bootstrap", ignore=shutil.ignore_patterns("__pycache__"))
    shutil.copy(ROOT / "forge", folder / "forge")
    (folder / "pyproject.toml").write_text(PYPROJECT.format(dependencies=dependencies))
    (folder / "constraints.txt").write_text("")
    (folder / "tiny_backend.py").write_text(BACKEND)
    package = folder / "bridge_server" / "cli"
    package.mkdir(parents=True)
    (package.parent / "__init__.py").touch()
    (package / "__init__.py").touch()
    (package / "main.py").write_text(COMMAND_LINE)
    return folder


@pytest.fixture
def ready_clone(tmp_path: Path) -> Path:
    """A clone that counts as set up: its interpreter is the one that runs the tests."""
    clone = make_clone(tmp_path / "a clone")
    (clone / ".venv" / "bin").mkdir(parents=True)
    launcher = clone / ".venv" / "bin" / "python"
    launcher.write_text(f'#!/bin/sh\nPYTHONPATH="{clone}" exec "{sys.executable}" "$@"\n')
    launcher.chmod(0o755)
    Environment(clone).write_stamp(NONE)
    return clone


def start(clone: Path, *arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [clone / "forge", *arguments],
        cwd=clone.parent,
        env={**os.environ, **environment},
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )


@posix_only
def test_a_second_start_hands_over_at_once(ready_clone: Path) -> None:
    done = start(ready_clone, "submit", "a photo.png", "--name", "")
    assert done.stdout == "ran ['submit', 'a photo.png', '--name', '']\n"
    assert done.stderr == ""
    assert not (ready_clone / ".forge").exists(), "nothing was set up"


@posix_only
def test_the_exit_code_is_the_commands(ready_clone: Path) -> None:
    assert start(ready_clone, "fail").returncode == 7


@posix_only
def test_works_through_a_symbolic_link(ready_clone: Path, tmp_path: Path) -> None:
    link = tmp_path / "forge-link"
    link.symlink_to(ready_clone / "forge")
    done = subprocess.run([link, "jobs"], capture_output=True, text=True, timeout=20, check=False)
    assert done.stdout == "ran ['jobs']\n"


@posix_only
@pytest.mark.parametrize("old_python", [False, True])
def test_without_a_fitting_python_it_says_so(tmp_path: Path, old_python: bool) -> None:
    clone = make_clone(tmp_path / "clone")
    tools = tmp_path / "tools"
    tools.mkdir()
    for name in ("sh", "dirname", "readlink"):
        (tools / name).symlink_to(shutil.which(name))
    if old_python:
        (tools / "python3").write_text("#!/bin/sh\nexit 1\n")
        (tools / "python3").chmod(0o755)
    done = start(clone, "demo", PATH=str(tools))
    assert done.returncode == 6
    assert "Python 3.11 or newer" in done.stderr
    assert "python.org" in done.stderr


def test_ready_means_stamped_with_the_same_requirements(ready_clone: Path) -> None:
    environment = Environment(ready_clone)
    assert environment.ready(NONE)
    assert not environment.ready(frozenset({"dev"}))
    (ready_clone / "constraints.txt").write_text("numpy==2.0\n")
    assert not environment.ready(NONE)


def test_a_clone_that_was_moved_is_set_up_again(ready_clone: Path) -> None:
    moved = ready_clone.rename(ready_clone.parent / "moved")
    assert not Environment(moved).ready(NONE)


def test_a_missing_interpreter_or_a_torn_stamp_is_no_set_up(ready_clone: Path) -> None:
    environment = Environment(ready_clone)
    environment.stamp.write_text('{"schema": "open3dforge.setup.v1", "dig')
    assert not environment.ready(NONE)
    environment.write_stamp(frozenset({"dev"}))
    assert environment.ready(NONE)
    assert environment.installed_extras() == {"dev"}
    environment.python.unlink()
    assert not environment.ready(NONE)


def test_the_bootstrap_imports_the_standard_library_alone() -> None:
    files = list((ROOT / "bootstrap").glob("*.py"))
    allowed = set(sys.stdlib_module_names) | {file.stem for file in files} | {"msvcrt", "fcntl"}
    for file in files:
        for node in ast.walk(ast.parse(file.read_text())):
            names = [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
            names += [node.module or ""] if isinstance(node, ast.ImportFrom) else []
            for name in names:
                assert name.split(".")[0] in allowed, f"{file.name} imports {name}"


def test_the_lock_lets_one_in_at_a_time_and_dies_with_its_holder(tmp_path: Path) -> None:
    lock = tmp_path / "lock"
    program = (
        "import sys, time; sys.path.insert(0, sys.argv[1]); from lock import exclusive; from pathlib import Path\n"
        "with exclusive(Path(sys.argv[2]), lambda: None):\n    print('held', flush=True); time.sleep(60)"
    )
    command = [sys.executable, "-c", program, str(ROOT / "bootstrap"), str(lock)]
    holder = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    assert holder.stdout is not None
    assert holder.stdout.readline() == "held\n"
    told = []

    def waiting() -> None:
        told.append(True)
        holder.kill()

    with exclusive(lock, waiting):
        assert told == [True]
    holder.wait()
    holder.stdout.close()


def test_continuous_integration_runs_the_command_of_the_developer() -> None:
    script = (ROOT / ".ci" / "run").read_text()
    assert "set -euo pipefail" in script
    assert "./forge test" in script
    assert os.access(ROOT / ".ci" / "run", os.X_OK) or os.name == "nt"


@pytest.fixture(scope="module")
def installed_clone(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A clone that was set up for real, by two starts at the same moment."""
    clone = make_clone(tmp_path_factory.mktemp("clones") / "clone")
    command = [clone / "forge", "jobs"]
    pair = [
        subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, cwd=clone.parent)
        for _ in range(2)
    ]
    outputs = [process.communicate(timeout=120) for process in pair]
    assert [process.returncode for process in pair] == [0, 0], outputs
    assert [out for out, _ in outputs] == ["ran ['jobs']\n"] * 2
    said = "".join(err for _, err in outputs)
    assert said.count("forge: making ") == 1, "only one of them sets up"
    assert "another ./forge is setting up" in said
    return clone


@posix_only
@pytest.mark.slow
def test_an_empty_clone_is_set_up_once(installed_clone: Path) -> None:
    log = (installed_clone / ".forge" / "setup.log").stat().st_mtime_ns
    done = start(installed_clone, "jobs")
    assert (done.stdout, done.stderr) == ("ran ['jobs']\n", "")
    assert (installed_clone / ".forge" / "setup.log").stat().st_mtime_ns == log


@posix_only
@pytest.mark.slow
def test_an_interrupted_set_up_is_repaired(installed_clone: Path) -> None:
    environment = Environment(installed_clone)
    environment.stamp.unlink()
    shutil.rmtree(next((environment.folder / "lib").glob("python3.*/site-packages/pip")))
    done = start(installed_clone, "jobs")
    assert done.returncode == 0, done.stderr
    assert "forge: making " in done.stderr
    assert environment.ready(NONE)


@posix_only
@pytest.mark.slow
def test_missing_weights_are_a_warning_with_the_command_to_type(installed_clone: Path) -> None:
    Environment(installed_clone).stamp.unlink()
    done = start(installed_clone, "jobs", WEIGHTS_EXIT="3")
    assert done.stdout == "ran ['jobs']\n"
    assert "./forge models pull u2netp" in done.stderr


@posix_only
@pytest.mark.slow
def test_without_network_the_message_names_the_cause_and_the_log(installed_clone: Path, tmp_path: Path) -> None:
    environment = Environment(installed_clone)
    before = (installed_clone / "pyproject.toml").read_text()
    (installed_clone / "pyproject.toml").write_text(PYPROJECT.format(dependencies='"no-such-package-of-ours"'))
    offline = {
        "PIP_CONFIG_FILE": os.devnull,
        "PIP_INDEX_URL": "http://127.0.0.1:9/simple",
        "PIP_EXTRA_INDEX_URL": "",
        "PIP_FIND_LINKS": "",
        "PIP_RETRIES": "0",
    }
    done = start(installed_clone, "jobs", **offline)
    (installed_clone / "pyproject.toml").write_text(before)
    assert done.returncode == 6
    assert "cannot reach the Python package index" in done.stderr
    assert str(environment.log) in done.stderr
    assert "no-such-package-of-ours" in done.stderr, "the end of the log is shown"
    assert "Traceback" not in done.stderr
    assert not environment.ready(NONE)
    assert start(installed_clone, "jobs").returncode == 0, "the next start repairs it"


@posix_only
@pytest.mark.slow
def test_a_failing_requirement_is_told(tmp_path: Path) -> None:
    clone = make_clone(tmp_path / "clone")
    environment = Environment(clone)
    (clone / "tiny_backend.py").write_text("raise RuntimeError('broken on purpose')")
    with pytest.raises(SetupFailed, match=r"pip could not install(.|\n)*broken on purpose"):
        environment.install(NONE, lambda line: None)
    assert not environment.stamp.exists()
