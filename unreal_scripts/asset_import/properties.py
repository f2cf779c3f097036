"""Setting properties whose names move between engine versions."""

from collections.abc import Mapping

import unreal


def set_if_exists(target: unreal.Object, values: Mapping[str, object]) -> tuple[str, ...]:
    """Set each property that this engine version has; returns the names that it has not.

    Unreal raises a plain ``Exception`` both for an unknown property and for a value that does not fit; both mean
    that the wish could not be taken over, which the caller reports where it matters.
    """
    refused = []
    for name, value in values.items():
        try:
            target.set_editor_property(name, value)
        except Exception:  # noqa: BLE001 - the editor's own exception type
            refused.append(name)
    return tuple(refused)


def enum_member(enum_name: str, member: str) -> object:
    """A member of an enum that a manifest names; raises ``AttributeError`` where this version lacks it."""
    return getattr(getattr(unreal, enum_name), member)
