"""Cut the classes that the product and the tests need out of the full API surfaces.

``python tests/simulated_editor/make_surface.py FOLDER`` reads ``full_5.4.json.gz`` and so on from FOLDER and writes
``surface/5.4.json`` beside this file: every class whose name the product's code, the simulated engine or the list
below mentions, its bases, and the types of their properties and of their signatures.
"""

import gzip
import json
import re
import sys
from pathlib import Path

HERE = Path(__file__).resolve().parent
ROOT = HERE.parent.parent
VERSIONS = ("5.4", "5.5", "5.6")
ALWAYS = {"Object", "StructBase", "EnumBase", "Name", "Text", "Array", "Map", "Set", "Class", "Package"}


def names_in_use() -> set[str]:
    """Every ``unreal.Name`` in the product and in the simulated engine."""
    found = set(ALWAYS)
    for folder in (ROOT / "unreal_scripts", ROOT / "ue_plugin", HERE):
        for file in folder.rglob("*.py"):
            found |= set(re.findall(r"\bunreal\.([A-Za-z_]\w*)", file.read_text(encoding="utf-8")))
            found |= set(re.findall(r"\"([A-Z]\w+)\.[a-z_]\w*\"", file.read_text(encoding="utf-8")))
            found |= set(re.findall(r"getattr\(unreal, \"(\w+)\"", file.read_text(encoding="utf-8")))
            found |= set(re.findall(r"\b(?:module|MODULE\[0\])\.([A-Z]\w+)", file.read_text(encoding="utf-8")))
            found |= set(re.findall(r"_sub\(\s*\"(\w+)\"", file.read_text(encoding="utf-8")))
            found |= set(re.findall(r"enum_member\(\"(\w+)\"", file.read_text(encoding="utf-8")))
    return found


def cut(full: dict[str, dict[str, object]], wanted: set[str]) -> dict[str, object]:
    """The classes in ``wanted`` whole, with their bases; types that they mention as far as their own properties."""
    classes = full["classes"]
    whole: set[str] = set()
    stack = [name for name in wanted if name in classes]
    while stack:
        name = stack.pop()
        if name in whole or name not in classes:
            continue
        whole.add(name)
        stack.append(classes[name].get("base") or "")
    mentioned: set[str] = set()
    for name in whole:
        text = json.dumps(classes[name].get("methods", {})) + json.dumps(classes[name].get("props", {}))
        mentioned |= {word for word in re.findall(r"\b[A-Z_]\w+", text) if word in classes}
    stack = list(mentioned - whole)
    shells: set[str] = set()
    while stack:
        name = stack.pop()
        if name in whole or name in shells or name not in classes:
            continue
        shells.add(name)
        stack.append(classes[name].get("base") or "")
    result = {name: classes[name] for name in sorted(whole)}
    for name in sorted(shells):
        kept = {key: value for key, value in classes[name].items() if key in ("base", "enum")}
        result[name] = {**kept, "shell": True}
    functions = {name: text for name, text in full["functions"].items() if name in wanted}
    return {"version": full["version"], "functions": functions, "classes": result}


def main(folder: Path) -> None:
    """Write one file a version."""
    wanted = names_in_use()
    for version in VERSIONS:
        with gzip.open(folder / f"full_{version}.json.gz") as file:
            surface = cut(json.load(file), wanted)
        target = HERE / "surface" / f"{version}.json"
        target.write_text(json.dumps(surface, indent=0, sort_keys=True) + "\n", encoding="utf-8")
        sys.stdout.write(f"{target.name}: {len(surface['classes'])} classes\n")


if __name__ == "__main__":
    main(Path(sys.argv[1]))
