"""What an asset may be called.

The name becomes part of file names on every system, of Unreal asset paths and of glTF node names, so it keeps to
what all of them take: ASCII letters, digits and underscore, a letter first, at most 64 characters, and none of the
names that Windows reserves for devices.
"""

import re
import unicodedata

from bridge_server.errors import InputError

LONGEST_NAME = 64
DEVICE_NAMES = frozenset(
    ["CON", "PRN", "AUX", "NUL", "CLOCK", *(f"{port}{digit}" for port in ("COM", "LPT") for digit in range(10))]
)
FALLBACK_NAME = "Asset"
_UNREAL_PREFIXES = ("SM_", "SK_", "T_", "MI_", "M_")


def check_asset_name(name: str) -> str:
    """Return ``name`` where it can be used; else raise ``InputError`` with the rule it breaks and a repaired name."""
    rule = _broken_rule(name)
    if not rule:
        return name
    raise InputError(rule, subject=f"asset name {_shown(name)}", remedy=f"Use {suggest_asset_name(name)}, for example.")


def suggest_asset_name(file_name: str) -> str:
    """A name that can be used, from whatever a file is called: ``coffee cup (2).png`` becomes ``CoffeeCup2``."""
    stem = re.split(r"[/\\]", file_name)[-1]
    stem = re.sub(r"\.[A-Za-z][A-Za-z0-9]{0,4}$", "", stem)
    plain = unicodedata.normalize("NFKD", stem).encode("ascii", "ignore").decode("ascii")
    for prefix in _UNREAL_PREFIXES:
        plain = plain.removeprefix(prefix)
    words = re.findall(r"[A-Za-z0-9]+", plain)
    joined = "".join(word[0].upper() + word[1:] for word in words).lstrip("0123456789")[:LONGEST_NAME]
    if not joined:
        return FALLBACK_NAME
    return joined if not _broken_rule(joined) else f"{joined}{FALLBACK_NAME}"


def _broken_rule(name: str) -> str:
    """Which rule ``name`` breaks, as a sentence; empty where it breaks none."""
    if not name:
        return "is empty."
    if len(name) > LONGEST_NAME:
        return f"has {len(name)} characters; at most {LONGEST_NAME} are taken."
    if name.split(".", maxsplit=1)[0].rstrip(" ").upper() in DEVICE_NAMES:
        return "is a device name on Windows and cannot be a file there."
    if not re.fullmatch(r"[A-Za-z0-9_]*", name):
        bad = sorted({character for character in name if not re.match(r"[A-Za-z0-9_]", character)})
        return f"holds {', '.join(_shown(character) for character in bad[:5])}; letters, digits and _ are taken."
    if not re.match(r"[A-Za-z]", name):
        return "must start with a letter."
    return ""


def _shown(text: str) -> str:
    """Text in quotes, with everything that is not printable ASCII escaped, and cut where it is long."""
    return ascii(text if len(text) <= LONGEST_NAME else text[:LONGEST_NAME] + "...")
