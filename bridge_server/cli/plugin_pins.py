"""Write the plugin's ``PythonRequirements``: exact versions with the digest of every wheel, platform by platform.

Run ``python -m bridge_server.cli.plugin_pins`` after a change of the versions in ``constraints.txt``.
"""

import hashlib
import json
import re
import tempfile
from pathlib import Path

from bridge_server.cli.plugin_archive import PACKAGES, PIP_PLATFORMS, ROOT, SOURCE, download
from bridge_server.errors import NotFound


def versions() -> list[str]:
    """The pinned version of each package that the plugin carries."""
    text = (ROOT / "constraints.txt").read_text(encoding="utf-8")
    found = [re.search(rf"^{re.escape(name)}==\S+", text, re.MULTILINE) for name in PACKAGES]
    if None in found:
        raise NotFound("a package of the plugin is not pinned.", subject="constraints.txt", remedy="Pin it there.")
    return [match.group(0) for match in found if match is not None]


def main() -> None:
    """Fetch the wheels of all platforms and write the pins."""
    entries = []
    for platform in PIP_PLATFORMS:
        with tempfile.TemporaryDirectory() as folder:
            download(versions(), platform, Path(folder), hashes=False)
            wheels = sorted(Path(folder).glob("*.whl"), key=lambda wheel: wheel.name.lower())
            digests = {
                wheel.name.split("-")[0].lower().replace("_", "-"): hashlib.sha256(wheel.read_bytes()).hexdigest()
                for wheel in wheels
            }
        lines = [f"{pin} --hash=sha256:{digests[pin.split('==')[0].lower().replace('_', '-')]}" for pin in versions()]
        entries.append({"Platform": platform, "Requirements": lines})
    file = SOURCE / "Open3DForge.uplugin"
    description = json.loads(file.read_text(encoding="utf-8"))
    description["PythonRequirements"] = entries
    file.write_text(json.dumps(description, indent=2) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
