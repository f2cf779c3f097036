"""Reading persisted JSON documents strictly, and telling everything that is wrong with one at once."""

import json
from collections.abc import Mapping
from typing import Any, NoReturn

from bridge_server.errors import PresetError
from bridge_server.pipeline.fields import FieldDescription, FieldValue


class DocumentReader:
    """One JSON object of known fields; what is wrong is collected, and raised together by ``finish``."""

    def __init__(self, text: str | bytes, *, schema: str, subject: str) -> None:
        self._subject = subject
        self._problems: list[str] = []
        self.content = self._parse(text)
        found = self.content.get("schema")
        if found != schema:
            self.problem("schema", f"must be {schema!r}, not {found!r}")

    def problem(self, path: str, message: str) -> None:
        """Note one thing that is wrong at a place in the document."""
        self._problems.append(f"{path}: {message}")

    def refuse_unknown(self, known: tuple[str, ...]) -> None:
        """Every key of the document has to be one of these, or ``schema``."""
        for key in self.content:
            if key not in known and key != "schema":
                self.problem(key, f"is not known here; known are {', '.join(known)}")

    def field(self, field: FieldDescription, *, required: bool) -> Any:
        """One field, judged by its description; the default where it is absent or wrong."""
        if field.name not in self.content:
            if required:
                self.problem(field.name, "is missing")
            return field.default
        return self.judge(field, self.content[field.name], field.name)

    def judge(self, field: FieldDescription, value: object, path: str) -> FieldValue:
        """The value where the field accepts it, else the default and a noted problem."""
        try:
            return field.accept(value)
        except ValueError as error:
            self.problem(path, str(error))
            return field.default

    def finish(self) -> None:
        """Raise ``PresetError`` where anything was wrong."""
        refuse(self._problems, self._subject)

    def _parse(self, text: str | bytes) -> Mapping[str, Any]:
        def unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
            content = dict(pairs)
            if len(content) < len(pairs):
                keys = [key for key, _ in pairs]
                twice = sorted({key for key in keys if keys.count(key) > 1})
                self.problem(", ".join(twice), "stands more than once")
            return content

        def constant(word: str) -> NoReturn:
            raise ValueError(f"{word} is no JSON number")

        try:
            content = json.loads(text, object_pairs_hook=unique, parse_constant=constant)
        except (ValueError, RecursionError) as error:
            raise PresetError(f"is not a JSON document ({error}).", subject=self._subject) from error
        if not isinstance(content, dict):
            raise PresetError("must be a JSON object.", subject=self._subject)
        return content


def refuse(problems: list[str], subject: str) -> None:
    """Raise ``PresetError`` that lists all problems; nothing where there are none."""
    if problems:
        count = "one thing is" if len(problems) == 1 else f"{len(problems)} things are"
        raise PresetError(f"{count} wrong: {'; '.join(problems)}.", subject=subject)


def dump(content: Mapping[str, Any]) -> str:
    """JSON text as documents are written: two spaces, keys as given, a newline at the end."""
    return json.dumps(content, indent=2, ensure_ascii=False, allow_nan=False) + "\n"
