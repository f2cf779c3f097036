"""What commands print: results on standard output, progress and errors on standard error.

With ``--json`` standard output carries JSON documents alone, one a line, and nothing else.
"""

import json
import sys
from collections.abc import Mapping, Sequence

from bridge_server.errors import ForgeError, InputError

_STYLES = {
    **dict.fromkeys(("ok", "pass", "present", "succeeded", "finished"), "green"),
    **dict.fromkeys(("warning", "warn", "missing", "running", "cancelled"), "yellow"),
    **dict.fromkeys(("error", "fail", "wrong", "failed"), "red"),
}


def emit(document: Mapping[str, object]) -> None:
    """Print one JSON document on a line of its own."""
    sys.stdout.write(json.dumps(document, ensure_ascii=True, separators=(",", ":")) + "\n")
    sys.stdout.flush()


def say(line: str = "") -> None:
    """Print a line of the result for people."""
    sys.stdout.write(_printable(line, sys.stdout.encoding) + "\n")
    sys.stdout.flush()


def remark(line: str) -> None:
    """Print a line about what goes on, beside the result."""
    sys.stderr.write(_printable(line, sys.stderr.encoding) + "\n")
    sys.stderr.flush()


def error_document(error: ForgeError) -> dict[str, object]:
    """The error as ``--json`` shows it."""
    return {
        "error": {
            "reason": error.reason,
            "subject": error.subject,
            "message": error.message,
            "remedy": error.remedy,
        }
    }


def show_error(error: ForgeError, *, as_json: bool) -> None:
    """Tell which thing is wrong, why, and what to do."""
    if as_json:
        emit(error_document(error))
    subject = f"{error.subject}: " if error.subject else ""
    remark(f"forge: {subject}{error.message}")
    if error.remedy:
        remark(f"       {error.remedy}")


def confirmed(question: str, *, remedy: str) -> bool:
    """Whether a person says yes. Raises ``InputError`` where nobody can answer."""
    if not sys.stdin.isatty():
        raise InputError("wants to be confirmed, and nobody can answer here.", subject=question, remedy=remedy)
    remark(f"{question} [y/N]")
    return sys.stdin.readline().strip().lower() in {"y", "yes"}


def table(columns: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
    """Print rows under headings: a drawn table on a terminal, aligned plain columns elsewhere."""
    if sys.stdout.isatty():
        from rich.console import Console
        from rich.table import Table
        from rich.text import Text

        drawn = Table(*columns, box=None, header_style="bold", pad_edge=False)
        for row in rows:
            drawn.add_row(*(Text(cell, _STYLES.get(cell, "")) for cell in row))
        Console().print(drawn)
        return
    widths = [max(len(row[index]) for row in (columns, *rows)) for index in range(len(columns))]
    for row in (columns, *rows):
        say("  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip())


def megabytes(size_bytes: float) -> str:
    """A size for people."""
    return f"{size_bytes / 1e9:.1f} GB" if size_bytes >= 1e9 else f"{size_bytes / 1e6:.1f} MB"


def _printable(line: str, encoding: str | None) -> str:
    """The line with what the terminal's encoding lacks written as escapes, so that printing never fails."""
    name = encoding or "utf-8"
    return line.encode(name, "backslashreplace").decode(name)
