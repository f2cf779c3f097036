"""The source files of the house, read once."""

import ast
import functools
import subprocess
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
BODIES = ("body", "orelse", "finalbody", "handlers", "cases")
"""Where a statement holds others, by the names of Python's ``ast``."""
PRODUCT_FOLDERS = ("bridge_server", "unreal_scripts", "ue_plugin", "bootstrap", "vendor")


@dataclass(frozen=True)
class SourceFile:
    path: str
    """Relative to the repository, forward slashes."""
    text: str

    @functools.cached_property
    def tree(self) -> ast.Module:
        return ast.parse(self.text, self.path)

    @functools.cached_property
    def statements(self) -> tuple[ast.AST, ...]:
        """All of them, however deep; not what they compute, of which there is ten times as much."""
        found: list[ast.AST] = [self.tree]
        for node in found:
            for name in BODIES:
                found += getattr(node, name, ())
        return tuple(found)

    @functools.cached_property
    def import_statements(self) -> tuple[ast.Import | ast.ImportFrom, ...]:
        """Wherever they stand in the file."""
        return tuple(node for node in self.statements if isinstance(node, ast.Import | ast.ImportFrom))

    @functools.cached_property
    def imports(self) -> tuple[str, ...]:
        """Dotted names of everything imported anywhere in the file; ``from a import b`` gives ``a.b``."""
        return tuple(name for node in self.import_statements for name in imported_names(node))

    @property
    def imports_on_load(self) -> list[str]:
        """Those that run when the module is imported: outside of functions and of ``if TYPE_CHECKING``."""
        names: list[str] = []
        pending: list[ast.AST] = [self.tree]
        while pending:
            node = pending.pop()
            names += imported_names(node)
            is_hint = isinstance(node, ast.If) and "TYPE_CHECKING" in ast.unparse(node.test)
            if not is_hint and not isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda):
                pending += ast.iter_child_nodes(node)
        return names


def imported_names(node: ast.AST) -> list[str]:
    if isinstance(node, ast.Import):
        return [alias.name for alias in node.names]
    if isinstance(node, ast.ImportFrom) and not node.level:
        return [f"{node.module}.{alias.name}" for alias in node.names]
    return []


@functools.cache
def product_files() -> tuple[SourceFile, ...]:
    paths = sorted(path for folder in PRODUCT_FOLDERS for path in (ROOT / folder).rglob("*.py"))
    found = tuple(read(path) for path in paths if "__pycache__" not in path.parts)
    assert len(found) > 50, "the source files were not found"
    return found


@functools.cache
def all_python_files() -> tuple[SourceFile, ...]:
    others = [path for folder in ("tests", "benchmarks", "examples") for path in sorted((ROOT / folder).rglob("*.py"))]
    return product_files() + tuple(read(path) for path in others if not {"__pycache__", "node_modules"} & {*path.parts})


def read(path: Path) -> SourceFile:
    return SourceFile(path=path.relative_to(ROOT).as_posix(), text=path.read_text(encoding="utf-8"))


@functools.cache
def committed_texts() -> tuple[SourceFile, ...]:
    """Every text file that git knows or would add."""
    command = ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"]
    names = subprocess.run(command, cwd=ROOT, capture_output=True, check=True).stdout.decode().split("\0")
    found = []
    for name in filter(None, names):
        path = ROOT / name
        if path.is_file() and path.stat().st_size < 2_000_000:
            data = path.read_bytes()
            if b"\0" not in data[:8192]:
                found.append(SourceFile(path=name, text=data.decode("utf-8", "replace")))
    return tuple(found)
