"""Wire format of Unreal's Python remote execution: one UTF-8 JSON object a message, no framing.

Facts read in the engine's ``PythonScriptRemoteExecution.cpp`` and unchanged from 4.2x to 5.8: version 1, magic
``ue_py``; ``source`` names the sender; a receiver ignores its own messages and those for another ``dest``.
"""

import enum
import json
from collections.abc import Mapping
from dataclasses import dataclass

PROTOCOL_VERSION = 1
PROTOCOL_MAGIC = "ue_py"


class ExecMode(enum.StrEnum):
    """How the editor takes a command's text."""

    EXECUTE_FILE = "ExecuteFile"
    """A path to a ``.py`` file with arguments, or several lines of code.

    The editor looks for the first ``.py`` in the text and takes what stands before it for a path, so code that
    mentions a file name is misread: send code as a statement instead.
    """
    EXECUTE_STATEMENT = "ExecuteStatement"
    EVALUATE_STATEMENT = "EvaluateStatement"


@dataclass(frozen=True)
class Message:
    """One message, either way."""

    kind: str
    source: str
    destination: str = ""
    data: Mapping[str, object] | None = None

    def encode(self) -> bytes:
        """As bytes for the wire."""
        fields: dict[str, object] = {
            "version": PROTOCOL_VERSION,
            "magic": PROTOCOL_MAGIC,
            "type": self.kind,
            "source": self.source,
        }
        if self.destination:
            fields["dest"] = self.destination
        if self.data is not None:
            fields["data"] = dict(self.data)
        return json.dumps(fields, ensure_ascii=False).encode("utf-8")


def decode(raw: bytes) -> Message | None:
    """The message in ``raw``, or None where it is not (yet) a whole and valid one."""
    try:
        fields = json.loads(raw.decode("utf-8"))
    except (UnicodeDecodeError, json.JSONDecodeError):
        return None
    if not isinstance(fields, dict):
        return None
    if fields.get("version") != PROTOCOL_VERSION or fields.get("magic") != PROTOCOL_MAGIC:
        return None
    kind, source, data = fields.get("type"), fields.get("source"), fields.get("data")
    if not isinstance(kind, str) or not isinstance(source, str):
        return None
    return Message(kind, source, str(fields.get("dest") or ""), data if isinstance(data, dict) else None)


@dataclass(frozen=True)
class OutputLine:
    """One line that the command printed or logged."""

    kind: str
    """Info, Warning or Error."""
    text: str


@dataclass(frozen=True)
class CommandResult:
    """What a command came to."""

    success: bool
    result: str
    """``repr`` of the value (``None`` for files and statements); the traceback where ``success`` is false."""
    output: tuple[OutputLine, ...]


def command_result(message: Message) -> CommandResult:
    """Read a ``command_result`` message; what it lacks is taken as a failure, never as success."""
    data = message.data or {}
    lines = data.get("output")
    output = tuple(
        OutputLine(str(line.get("type", "Info")), str(line.get("output", "")))
        for line in (lines if isinstance(lines, list) else [])
        if isinstance(line, dict)
    )
    return CommandResult(data.get("success") is True, str(data.get("result", "")), output)
