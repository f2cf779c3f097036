"""Shared fixtures. Values are checked against their declared shapes and dtypes while tests run."""

from jaxtyping import install_import_hook

hook = install_import_hook("bridge_server.values", "beartype.beartype")
hook.__enter__()
