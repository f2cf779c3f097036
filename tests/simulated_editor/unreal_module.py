"""Making the ``unreal`` module out of a surface: classes, structs, enums and functions of one engine version.

Every call is checked for thread, argument names, counts and types; every property for existence, type and whether
it may be written. What a method does comes from ``ENGINE``, filled by the files of the simulated engine.
"""

import copy
import json
import threading
import time
import types
from collections.abc import Callable
from pathlib import Path
from typing import Any

from tests.simulated_editor.signatures import bind, fits, is_class_method, parse

SURFACES = Path(__file__).resolve().parent / "surface"
ENGINE: dict[str, Callable[..., Any]] = {}
"""``"Class.method"`` or ``"function"`` -> what it does; gets ``self`` or the class first, then the bound arguments."""
DEFAULTS: dict[tuple[str, str], Callable[[Any], Any]] = {}
"""``(class, property)`` -> maker of the value that a new object starts with, given the module."""


class NotSimulated(AssertionError):
    """The editor has this, the simulated engine does not act it out: extend the engine before you use it."""


class OffGameThread(AssertionError):
    """``unreal`` was used on a thread other than the game thread, which crashes a real editor."""


class Clock:
    """CPU time that the engine's own work takes, so that the time of the product's code can be told apart."""

    def __init__(self) -> None:
        self.game_thread = threading.current_thread()
        self.depth = 0
        self.engine_s = 0.0
        self.violations: list[str] = []

    def check_thread(self, where: str) -> None:
        """Refuse every thread but the game thread, and remember that it happened."""
        if threading.current_thread() is not self.game_thread:
            self.violations.append(f"{where} was called on {threading.current_thread().name}")
            raise OffGameThread(self.violations[-1])

    def engine(self, work: Callable[..., Any], *arguments: Any) -> Any:
        """Run engine work, on the engine's account."""
        self.depth += 1
        started = time.thread_time()
        try:
            return work(*arguments)
        finally:
            self.depth -= 1
            if self.depth == 0:
                self.engine_s += time.thread_time() - started

    def product(self, work: Callable[..., Any], *arguments: Any) -> Any:
        """Run the product's code from within engine work (a menu entry, a callback), on the product's account."""
        depth, self.depth = self.depth, 0
        started, engine_before = time.thread_time(), self.engine_s
        try:
            return work(*arguments)
        finally:
            self.depth = depth
            if depth:
                spent = time.thread_time() - started - (self.engine_s - engine_before)
                self.engine_s -= spent


CLOCK = Clock()


def implements(name: str) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
    """Say what a method or function of the surface does."""

    def register(work: Callable[..., Any]) -> Callable[..., Any]:
        ENGINE[name] = work
        return work

    return register


class UnrealObject:
    """Base of everything the module makes: properties by name, checked."""

    def get_editor_property(self, name: str) -> Any:
        """Read a property; raises where this version has none of that name."""
        CLOCK.check_thread(f"{type(self).__name__}.{name}")
        return self._read(name)

    def set_editor_property(self, name: str, value: Any, notify_mode: Any = None) -> None:
        """Write a property; raises on an unknown name, a read-only one, or a value of another type."""
        CLOCK.check_thread(f"{type(self).__name__}.{name}")
        kind, access = self._declaration(name)
        if "Read-Only" in access:
            raise Exception(f"{type(self).__name__}: property '{name}' is read-only and cannot be set")
        if not fits(value, kind, MODULE[0]):
            raise TypeError(f"{type(self).__name__}: property '{name}' is {kind}, not {type(value).__name__} {value!r}")
        on_write = ENGINE.get(f"{type(self).__name__}.{name}=")
        self._values()[name] = value
        if on_write is not None:
            on_write(self, value)

    def _values(self) -> dict[str, Any]:
        return self.__dict__.setdefault("_properties", {})

    def _declaration(self, name: str) -> tuple[str, str]:
        for cls in type(self).__mro__:
            declared = cls.__dict__.get("__declared__", {})
            if name in declared:
                return declared[name][0], declared[name][1]
        raise Exception(f"{type(self).__name__}: Failed to find property '{name}' for attribute '{name}'")

    def _read(self, name: str) -> Any:
        kind, _access = self._declaration(name)
        values = self._values()
        if name not in values:
            values[name] = starting_value(type(self), name, kind)
        value = values[name]
        # Structs and containers come out as copies, as in the editor: changing one changes nothing by itself.
        return (
            copy.deepcopy(value)
            if isinstance(value, UnrealStruct)
            else list(value)
            if isinstance(value, list)
            else value
        )

    def __getattr__(self, name: str) -> Any:
        if name.startswith("_"):
            raise AttributeError(name)
        CLOCK.check_thread(f"{type(self).__name__}.{name}")
        try:
            return self._read(name)
        except Exception as error:
            raise AttributeError(f"'{type(self).__name__}' object has no attribute '{name}'") from error

    def __setattr__(self, name: str, value: Any) -> None:
        if name.startswith("_") or name in self.__dict__:
            object.__setattr__(self, name, value)
        else:
            self.set_editor_property(name, value)


class UnrealStruct(UnrealObject):
    """A value type: made from its fields, compared by them."""

    def __init__(self, *arguments: Any, **named: Any) -> None:
        CLOCK.check_thread(type(self).__name__)
        signature = _method_text(type(self), "__init__")
        if signature:
            parsed = parse(signature)
            for parameter, value in zip(
                parsed.parameters, bind(parsed, type(self).__name__, arguments, named, MODULE[0]), strict=True
            ):
                if value is not None and any(
                    parameter.name in c.__dict__.get("__declared__", {}) for c in type(self).__mro__
                ):
                    self._values()[parameter.name] = value
        elif arguments or named:
            raise TypeError(f"{type(self).__name__}() takes no arguments")

    def __eq__(self, other: object) -> bool:
        return type(self) is type(other) and self._values() == other._values()

    __hash__ = None  # type: ignore[assignment]

    def __repr__(self) -> str:
        return f"<Struct '{type(self).__name__}' {self._values()}>"


MODULE: list[Any] = []


def starting_value(cls: type, name: str, kind: str) -> Any:
    """What a property holds in a new object."""
    module = MODULE[0]
    for owner in cls.__mro__:
        if (owner.__name__, name) in DEFAULTS:
            return DEFAULTS[owner.__name__, name](module)
    head = kind.partition("[")[0]
    if head == "bool":
        return False
    if head in ("str", "Name", "Text"):
        return ""
    if head in ("float", "double"):
        return 0.0
    if head.startswith(("int", "uint")):
        return 0
    if head in ("Array", "FixedArray"):
        return []
    if head in ("Map", "Set"):
        return {} if head == "Map" else set()
    declared = module.__dict__.get(head)
    if declared is not None and declared.__dict__.get("__enum_members__"):
        return getattr(declared, declared.__enum_members__[0])
    if declared is not None and issubclass(declared, UnrealStruct):
        return declared()
    return None


def build(version: str) -> types.ModuleType:
    """The ``unreal`` module of that engine version."""
    surface = json.loads((SURFACES / f"{version}.json").read_text(encoding="utf-8"))
    module = types.ModuleType("unreal")
    MODULE[:] = [module]
    classes = surface["classes"]
    made: dict[str, type] = {}

    def make(name: str) -> type:
        if name in made:
            return made[name]
        entry = classes.get(name, {})
        base_name = entry.get("base")
        if name == "StructBase":
            base: type = UnrealStruct
        elif base_name in classes:
            base = make(base_name)
        else:
            base = UnrealObject
        body: dict[str, Any] = {
            "__declared__": entry.get("props", {}),
            "__methods__": entry.get("methods", {}),
            "__deprecated_members__": entry.get("deprecated", {}),
        }
        # Structs list their constants (Vector.UP) in the same place as enums their members.
        members = entry.get("enum") if _is_enum(name, classes) else None
        if members:
            body["__enum_members__"] = members
        for method, text in entry.get("methods", {}).items():
            if not method.startswith("__") and not hasattr(UnrealObject, method):
                body[method] = _method(name, method, text)
        cls = type(name, (base,), body)
        if members:
            for value, member in enumerate(members):
                entry_object = object.__new__(cls)
                entry_object.__dict__.update({"_name": member, "_value": value, "name": member, "value": value})
                setattr(cls, member, entry_object)
            cls.__repr__ = lambda self: f"<{type(self).__name__}.{self._name}: {self._value}>"  # type: ignore[method-assign]
        made[name] = cls
        module.__dict__[name] = cls
        return cls

    for name in classes:
        make(name)
    for name, text in surface["functions"].items():
        module.__dict__[name] = _function(name, text)
    return module


def _is_enum(name: str, classes: dict[str, Any]) -> bool:
    while name in classes:
        if name == "EnumBase":
            return True
        name = classes[name].get("base") or ""
    return False


def _method_text(cls: type, name: str) -> str:
    for owner in cls.__mro__:
        text = owner.__dict__.get("__methods__", {}).get(name)
        if text:
            return str(text)
    return ""


def _method(owner: str, name: str, text: str) -> Any:
    """Its signature is read at the first call: a session calls few, and reading all took half of an editor's start."""
    where = f"{owner}.{name}"

    def call(target: Any, *arguments: Any, **named: Any) -> Any:
        CLOCK.check_thread(where)
        bound = bind(parse(text), where, arguments, named, MODULE[0])
        work = ENGINE.get(where)
        if work is None:
            raise NotSimulated(f"{where} exists in this version, but the simulated engine does not act it out")
        return CLOCK.engine(work, target, *bound)

    call.__name__ = name
    return classmethod(call) if is_class_method(text) else call


def _function(name: str, text: str) -> Callable[..., Any]:
    declared = f"{name}{text}" if text.startswith("(") else text

    def call(*arguments: Any, **named: Any) -> Any:
        CLOCK.check_thread(f"unreal.{name}")
        bound = bind(parse(declared), name, arguments, named, MODULE[0])
        work = ENGINE.get(name)
        if work is None:
            raise NotSimulated(f"unreal.{name} exists in this version, but the simulated engine does not act it out")
        return CLOCK.engine(work, *bound)

    call.__name__ = name
    return call
