"""The fields of a stage as clients see them: kind, default, bounds, choices, meaning; and how a value is judged.

A field is an int, a float, a bool, a str, a ``StrEnum``, or a tuple of floats of fixed length (``float3``).
"""

import ast
import enum
import inspect
import itertools
import math
from collections.abc import Callable, Mapping
from dataclasses import MISSING, dataclass, fields
from functools import lru_cache
from typing import Annotated, Any, get_args, get_origin, get_type_hints

from bridge_server.stages.stage import Range, Stage, Wording

FieldValue = bool | int | float | str | tuple[float, ...]
"""What a field holds; choices are members of their ``StrEnum``."""

_WORDS = {"true": True, "yes": True, "on": True, "1": True, "false": False, "no": False, "off": False, "0": False}


@dataclass(frozen=True, slots=True, kw_only=True)
class FieldDescription:
    """One setting of a stage."""

    name: str
    type: str
    """int, float, bool, str, enum, or floatN for a tuple of N floats."""
    default: FieldValue
    low: float | None = None
    """Least value allowed; None where there is no bound."""
    high: float | None = None
    choices: tuple[str, ...] = ()
    """Of an enum."""
    doc: str = ""
    choose: Callable[[str], str] = str
    """Makes a member of the enum out of its value."""
    read: Callable[[str], object] = str
    """Reads a text; raises ``ValueError`` that says how it must be."""

    def accept(self, value: object) -> FieldValue:
        """The value of a JSON document as the field holds it. Raises ``ValueError`` that says what is wrong."""
        if self.type == "bool":
            return _require(value, bool, "true or false")
        if self.type == "str":
            self.read(_require(value, str, "text"))
            return str(value)
        if self.type == "enum":
            if not isinstance(value, str) or value not in self.choices:
                raise ValueError(f"must be one of {', '.join(self.choices)}, not {value!r}")
            return self.choose(value)
        if self.type.startswith("float") and self.type != "float":
            return self._accept_tuple(value)
        return self._accept_number(value)

    def parse(self, text: str) -> FieldValue:
        """The value that a user typed. Raises ``ValueError`` that says what is wrong."""
        if self.type == "bool":
            if text.strip().lower() not in _WORDS:
                raise ValueError(f"must be true or false, not {text!r}")
            return _WORDS[text.strip().lower()]
        if self.type in ("str", "enum"):
            return self.accept(text)
        try:
            typed = self._convert(text)
        except ValueError:
            raise ValueError(f"must be {self._wanted()}, not {text!r}") from None
        return self.accept(typed)

    def _convert(self, text: str) -> int | float | list[float]:
        if self.type == "int":
            return int(text)
        return float(text) if self.type == "float" else [float(part) for part in text.split(",")]

    def _accept_number(self, value: object) -> int | float:
        number = _number(value, whole=self.type == "int")
        if number is None:
            raise ValueError(f"must be {self._wanted()}, not {value!r}")
        self._refuse_outside(number)
        return number

    def _refuse_outside(self, number: float) -> None:
        if self.low is not None and self.high is not None and not self.low <= number <= self.high:
            raise ValueError(f"must lie between {self.low:.10g} and {self.high:.10g}, not {number:.10g}")

    def _accept_tuple(self, value: object) -> tuple[float, ...]:
        count = int(self.type.removeprefix("float"))
        numbers = [_number(part, whole=False) for part in value] if isinstance(value, list | tuple) else []
        found = tuple(number for number in numbers if number is not None)
        if len(found) != count or len(numbers) != count:
            raise ValueError(f"must be {self._wanted()}, not {value!r}")
        for number in found:
            self._refuse_outside(number)
        return found

    def _wanted(self) -> str:
        if self.type == "int":
            return "a whole number"
        return "a number" if self.type == "float" else f"{self.type.removeprefix('float')} numbers"


def _require(value: object, kind: type, wanted: str) -> Any:
    if type(value) is not kind:
        raise ValueError(f"must be {wanted}, not {value!r}")
    return value


def _number(value: object, *, whole: bool) -> int | float | None:
    if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value):
        return None
    if whole:
        return value if isinstance(value, int) else None
    return float(value)


@lru_cache(maxsize=256)
def fields_of(stage: type[Stage]) -> Mapping[str, FieldDescription]:
    """All settings of a stage by name, in their order."""
    hints = get_type_hints(stage, include_extras=True)
    docs = _field_docs(stage)
    described = {}
    for field in fields(stage):
        if field.default is MISSING:
            raise TypeError(f"{stage.__name__}.{field.name} has no default")
        described[field.name] = _describe(field.name, hints[field.name], field.default, docs.get(field.name, ""))
    return described


def _describe(name: str, hint: Any, default: Any, doc: str) -> FieldDescription:
    bounds: Range | None = None
    wording: Wording | None = None
    if get_origin(hint) is Annotated:
        hint, *extras = get_args(hint)
        bounds = next((extra for extra in extras if isinstance(extra, Range)), None)
        wording = next((extra for extra in extras if isinstance(extra, Wording)), None)
    choices: tuple[str, ...] = ()
    choose: Callable[[str], str] = str
    if get_origin(hint) is tuple and set(get_args(hint)) == {float}:
        label = f"float{len(get_args(hint))}"
    elif isinstance(hint, type) and issubclass(hint, enum.StrEnum):
        label, choices, choose = "enum", tuple(member.value for member in hint), hint
    elif hint in (int, float, bool, str):
        label = hint.__name__
    else:
        raise TypeError(f"field {name!r} is a {hint}, which no preset can hold")
    return FieldDescription(
        name=name,
        type=label,
        default=default,
        low=bounds.low if bounds else None,
        high=bounds.high if bounds else None,
        choices=choices,
        doc=doc,
        choose=choose,
        read=wording.read if wording else str,
    )


def _field_docs(stage: type[Stage]) -> dict[str, str]:
    """The docstring below each field, which Python itself throws away."""
    try:
        module = ast.parse(inspect.getsource(inspect.getmodule(stage) or stage))
    except (OSError, TypeError):
        return {}
    body = next((n.body for n in ast.walk(module) if isinstance(n, ast.ClassDef) and n.name == stage.__name__), [])
    docs = {}
    for field, below in itertools.pairwise(body):
        if not isinstance(field, ast.AnnAssign) or not isinstance(field.target, ast.Name):
            continue
        if isinstance(below, ast.Expr) and isinstance(below.value, ast.Constant):
            docs[field.target.id] = inspect.cleandoc(str(below.value.value))
    return docs
