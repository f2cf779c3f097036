"""Import every package of a folder into a running editor: ``python import_folder.py out /Game/Props [EDITOR]``.

Remote execution has to be on in the editor; see docs/unreal.md.
"""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from unreal_scripts.remote_execution import RemoteExecutionError
from unreal_scripts.send_to_editor import send_package


def main(folder: Path, destination: str, editor: str = "") -> int:
    """One package after the other; returns how many failed."""
    failed = 0
    for package in sorted(path.parent for path in folder.glob("*/asset_manifest.json")):
        try:
            value = send_package(package, destination, editor)
        except RemoteExecutionError as error:
            failed += 1
            print(f"{package.name}: {error}")
        else:
            print(f"{package.name}: {value['mesh_path']}, {value['lod_count']} LODs, {len(value['findings'])} findings")
    return failed


if __name__ == "__main__":
    raise SystemExit(min(main(Path(sys.argv[1]), *sys.argv[2:]), 1))
