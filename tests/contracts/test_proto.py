"""The contract passes the linter, and the committed code is what it generates."""

import subprocess
import sys
import sysconfig
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
PROTO = ROOT / "proto"
FIX = "Run `python proto/generate.py` and commit proto/python."


def test_the_contract_passes_buf_lint() -> None:
    buf = Path(sysconfig.get_path("scripts"), "buf.exe" if sys.platform == "win32" else "buf")
    result = subprocess.run([buf, "lint", PROTO], capture_output=True, text=True, check=False)
    assert result.returncode == 0, f"buf lint says:\n{result.stdout}{result.stderr}\nMend proto/open3dforge/v1."


def generated_files(folder: Path) -> dict[str, str]:
    paths = [path for path in folder.rglob("*.py*") if path.suffix in (".py", ".pyi")]
    return {path.relative_to(folder).as_posix(): path.read_text(encoding="utf-8") for path in paths}


def test_the_committed_code_is_what_the_contract_generates(tmp_path: Path) -> None:
    command = [sys.executable, PROTO / "generate.py", tmp_path]
    result = subprocess.run(command, capture_output=True, text=True, check=False)
    assert result.returncode == 0, result.stderr
    fresh, committed = generated_files(tmp_path), generated_files(PROTO / "python")
    assert sorted(fresh) == sorted(committed), f"Generated files were added or removed. {FIX}"
    stale = [name for name, text in fresh.items() if committed[name] != text]
    assert not stale, f"Not what the contract generates: {stale}. {FIX}"


def test_generated_code_says_that_it_is_generated() -> None:
    for name, text in generated_files(PROTO / "python").items():
        assert "DO NOT EDIT" in text.splitlines()[0], f"{name} lacks the note. {FIX}"
