"""Where this installation keeps what it makes and fetches: model weights, the store, jobs, presets of the user."""

import os
from pathlib import Path

HOME_VARIABLE = "OPEN3DFORGE_HOME"


def data_home() -> Path:
    """``OPEN3DFORGE_HOME`` where set, else the user's data folder of this system. May not exist yet."""
    chosen = os.environ.get(HOME_VARIABLE, "").strip()
    if chosen:
        return Path(chosen).expanduser().resolve()
    import platformdirs

    return Path(platformdirs.user_data_dir("open3dforge", appauthor=False))
