"""Run code or a file in the editor and hand back its output and value, of any size, through a file."""

import ast
import contextlib
import io
import json
import os
import traceback
from pathlib import Path


def run(code: str, name: str) -> tuple[str, str | None]:
    """Run ``code``; returns what it printed, and the ``repr`` of a last expression that is not None."""
    tree = ast.parse(code, name)
    last = tree.body[-1] if tree.body else None
    if isinstance(last, ast.Expr):
        tree.body.pop()
    variables: dict[str, object] = {"__name__": "__main__", "__file__": name}
    printed = io.StringIO()
    value: object = None
    with contextlib.redirect_stdout(printed):
        exec(compile(tree, name, "exec"), variables)  # noqa: S102 - this is what the user asked for
        if isinstance(last, ast.Expr):
            value = eval(compile(ast.Expression(last.value), name, "eval"), variables)  # noqa: S307 - likewise
    return printed.getvalue(), None if value is None else repr(value)


def main(arguments_path: str) -> None:
    """Entry by remote execution."""
    arguments = json.loads(Path(arguments_path).read_text(encoding="utf-8"))
    name = arguments.get("path") or "<forge exec>"
    code = arguments.get("code")
    try:
        if code is None:
            code = Path(name).read_text(encoding="utf-8")
        printed, value = run(code, name)
        answer: dict[str, object] = {"ok": True, "value": {"output": printed, "result": value}}
    except BaseException:  # noqa: BLE001 - whatever the code raised is the answer
        answer = {"ok": False, "error": traceback.format_exc()}
    partial = Path(arguments["result_path"] + ".partial")
    partial.write_text(json.dumps(answer), encoding="utf-8")
    os.replace(partial, arguments["result_path"])  # noqa: PTH105 - atomic on every system


if __name__ == "__main__":
    main(globals()["ARGUMENTS_PATH"])
