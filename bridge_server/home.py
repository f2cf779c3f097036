"""Where this installation keeps what it makes and fetches: model weights, the store, jobs, presets of the user.

What the machine can make again at any time, such as compiled kernels, lies in a folder of its own, shared by all data
folders.
"""

import os
from pathlib import Path

HOME_VARIABLE = "OPEN3DFORGE_HOME"
CACHE_VARIABLE = "OPEN3DFORGE_CACHE"


def data_home() -> Path:
    """``OPEN3DFORGE_HOME`` where set, else the user's data folder of this system. May not exist yet."""
    chosen = os.environ.get(HOME_VARIABLE, "").strip()
    if chosen:
        return Path(chosen).expanduser().resolve()
    import platformdirs

    return Path(platformdirs.user_data_dir("open3dforge", appauthor=False))


def cache_home() -> Path:
    """``OPEN3DFORGE_CACHE`` where set, else the user's cache folder of this system. May not exist yet."""
    chosen = os.environ.get(CACHE_VARIABLE, "").strip()
    if chosen:
        return Path(chosen).expanduser().resolve()
    import platformdirs

    return Path(platformdirs.user_cache_dir("open3dforge", appauthor=False))
