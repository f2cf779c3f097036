"""The linter and the type checker have nothing to say, and loading the pipeline loads nothing heavy."""

import subprocess
import sys

import pytest

from tests.architecture.house_rules import HEAVY_MODULES
from tests.architecture.source_files import ROOT


def run(*command: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run([sys.executable, *command], cwd=ROOT, capture_output=True, text=True, check=False)


@pytest.mark.parametrize("arguments", [("check", "."), ("format", "--check", ".")], ids=["check", "format"])
def test_ruff(arguments):
    pytest.importorskip("ruff", reason="the development extra is not installed")
    found = run("-m", "ruff", *arguments)
    assert found.returncode == 0, f"Run: ruff {arguments[0]} .\n{found.stdout}{found.stderr}"


@pytest.mark.slow
def test_mypy():
    pytest.importorskip("mypy", reason="the development extra is not installed")
    found = run("-m", "mypy")
    assert found.returncode == 0, f"Run: mypy\n{found.stdout}{found.stderr}"


def test_loading_every_stage_loads_nothing_heavy():
    program = (
        "import sys\n"
        "from bridge_server.pipeline.registry import REGISTRY\n"
        "for name in REGISTRY.stages: REGISTRY.stage_class(name)\n"
        "print(' '.join(sorted({name.partition('.')[0] for name in sys.modules})))\n"
    )
    found = run("-c", program)
    assert found.returncode == 0, found.stderr
    loaded = set(found.stdout.split()) & {*HEAVY_MODULES, "grpc", "google", "ray"}
    assert not loaded, f"{sorted(loaded)} came in with the stages. Import them inside the functions that use them."
