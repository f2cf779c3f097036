"""Shared fixtures. Values are checked against their declared shapes and dtypes while tests run."""

import os

from jaxtyping import install_import_hook

hook = install_import_hook("bridge_server.values", "beartype.beartype")
hook.__enter__()

# A machine with the real weights and a device would take them wherever a test leaves the choice of the generator open.
os.environ["OPEN3DFORGE_TRELLIS2"] = "no-weights-in-tests"
