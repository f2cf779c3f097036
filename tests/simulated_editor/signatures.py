"""Reading the surface's signatures and types, and holding arguments against them."""

import ast
import enum
import functools
import re
from dataclasses import dataclass
from typing import Any

REQUIRED = object()

NUMBERS = {"float", "double", "float32"}
INTEGERS = {"int", "int8", "int16", "int32", "int64", "uint8", "uint16", "uint32", "uint64"}
TEXTS = {"str", "Name", "Text"}
SEQUENCES = {"Array", "FixedArray", "list", "List"}


@dataclass(frozen=True)
class Parameter:
    """One parameter of a method."""

    name: str
    type: str
    default: Any = REQUIRED


@dataclass(frozen=True)
class Signature:
    """A method as the surface declares it."""

    parameters: tuple[Parameter, ...]
    returns: str


def is_class_method(text: str) -> bool:
    """Static ones have ``classmethod`` before their name."""
    return text.startswith("classmethod ")


@functools.cache
def parse(text: str) -> Signature:
    """Read ``name(self, a: Type, b: Type = default) -> Type``."""
    opening = text.index("(")
    closing = _matching(text, opening)
    returns = text[closing + 1 :].strip().removeprefix("->").strip() or "None"
    parameters = []
    for piece in split_top(text[opening + 1 : closing]):
        if piece in ("self", "cls") or not piece or piece.startswith("*"):
            continue
        declared, has_default, default = _partition_top(piece, "=")
        name, _, kind = declared.partition(":")
        parameters.append(Parameter(name.strip(), kind.strip() or "Any", default.strip() if has_default else REQUIRED))
    return Signature(tuple(parameters), returns)


def split_top(text: str, separator: str = ",") -> list[str]:
    """Split at separators that stand in no bracket and no quotes."""
    pieces, depth, start, quote = [], 0, 0, ""
    for index, letter in enumerate(text):
        if quote:
            quote = "" if letter == quote else quote
        elif letter in "\"'":
            quote = letter
        elif letter in "([{":
            depth += 1
        elif letter in ")]}":
            depth -= 1
        elif letter == separator and depth == 0:
            pieces.append(text[start:index].strip())
            start = index + 1
    pieces.append(text[start:].strip())
    return pieces


def bind(signature: Signature, where: str, arguments: tuple[Any, ...], named: dict[str, Any], module: Any) -> list[Any]:
    """Arguments in order, defaults filled in. Raises ``TypeError`` as the editor does on names, counts and types."""
    parameters = signature.parameters
    if len(arguments) > len(parameters):
        raise TypeError(f"{where}() takes at most {len(parameters)} arguments ({len(arguments)} given)")
    unknown = set(named) - {parameter.name for parameter in parameters}
    if unknown:
        raise TypeError(f"{where}() got an unexpected keyword argument {sorted(unknown)[0]!r}")
    bound = []
    for index, parameter in enumerate(parameters):
        if index < len(arguments):
            if parameter.name in named:
                raise TypeError(f"{where}() got multiple values for argument {parameter.name!r}")
            value = arguments[index]
        elif parameter.name in named:
            value = named[parameter.name]
        elif parameter.default is REQUIRED:
            raise TypeError(f"{where}() required argument {parameter.name!r} (pos {index + 1}) not found")
        else:
            bound.append(default_value(parameter, module))
            continue
        if not fits(value, parameter.type, module):
            raise TypeError(
                f"{where}(): argument {parameter.name!r} is {type(value).__name__} {value!r}, not {parameter.type}"
            )
        bound.append(value)
    return bound


def default_value(parameter: Parameter, module: Any) -> Any:
    """The value of a declared default, as far as its text says it."""
    text = str(parameter.default)
    if re.fullmatch(r"[A-Za-z_]\w*\.\w+", text):
        owner, _, member = text.partition(".")
        return getattr(getattr(module, owner, None), member, None)
    try:
        return ast.literal_eval(text)
    except (ValueError, SyntaxError):
        return None


def fits(value: Any, kind: str, module: Any) -> bool:
    """Whether the editor would take ``value`` for a parameter or property of that type."""
    kind = kind.strip().strip("\"'")
    head, _, inside = kind.partition("[")
    inner = split_top(inside[:-1]) if inside else []
    if head in ("Any", "object", "_ObjectBase"):
        return True
    if head in ("None", "NoneType"):
        return value is None
    if head == "Optional":
        return value is None or fits(value, inner[0], module)
    if head == "Union":
        return any(fits(value, option, module) for option in inner)
    if head == "bool":
        return isinstance(value, bool)
    if head in INTEGERS:
        return isinstance(value, int) and not isinstance(value, bool)
    if head in NUMBERS:
        return isinstance(value, int | float) and not isinstance(value, bool)
    if head in TEXTS:
        return isinstance(value, str) or type(value).__name__ in TEXTS
    if head in SEQUENCES:
        return isinstance(value, list | tuple) and all(fits(item, inner[0], module) for item in value)
    if head == "Set":
        return isinstance(value, set | frozenset | list | tuple) and all(fits(item, inner[0], module) for item in value)
    if head in ("Map", "Dict", "dict"):
        return isinstance(value, dict)
    if head in ("Class", "type", "Type"):
        return isinstance(value, type) or value is None
    if head == "Callable":
        return callable(value)
    return _fits_class(value, head, module)


def _fits_class(value: Any, name: str, module: Any) -> bool:
    declared = module.__dict__.get(name)
    if declared is None:
        return callable(value) or value is None  # delegates and types that the trimmed surface leaves out
    if isinstance(value, enum.Enum) or declared.__dict__.get("__enum_members__") is not None:
        return type(value) is declared
    if isinstance(value, declared):
        return True
    if issubclass(declared, module.StructBase):
        return isinstance(value, list | tuple | dict)
    return value is None


def _matching(text: str, opening: int) -> int:
    depth, quote = 0, ""
    for index in range(opening, len(text)):
        letter = text[index]
        if quote:
            quote = "" if letter == quote else quote
        elif letter in "\"'":
            quote = letter
        elif letter in "([{":
            depth += 1
        elif letter in ")]}":
            depth -= 1
            if depth == 0:
                return index
    raise ValueError(f"unbalanced: {text}")


def _partition_top(text: str, separator: str) -> tuple[str, bool, str]:
    pieces = split_top(text, separator)
    return pieces[0], len(pieces) > 1, separator.join(pieces[1:])
