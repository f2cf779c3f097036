"""Resource names of the contract: ``jobs/{job}``, ``uploads/{upload}``, ``presets/{preset}``, artifacts."""

from bridge_server.errors import InputError


def bare(name: str, collection: str) -> str:
    """The id in ``collection/id``; a bare id is taken too. Raises ``InputError``."""
    found = name.removeprefix(f"{collection}/")
    if not found or "/" in found or len(found) > 128:
        raise InputError(f"a name looks like {collection}/id.", subject=f"name {name[:80]!r}")
    return found


def artifact_parts(name: str) -> tuple[str, str]:
    """Job id and path in ``jobs/{job}/artifacts/{path}``. Raises ``InputError``."""
    head, found, path = name.partition("/artifacts/")
    if not found or not path:
        raise InputError("a name looks like jobs/id/artifacts/path.", subject=f"name {name[:80]!r}")
    return bare(head, "jobs"), path


def page_size(wanted: int, usual: int, most: int) -> int:
    """How many entries a page gets. Raises ``InputError`` for a negative wish."""
    if wanted < 0:
        raise InputError("must not be negative.", subject=f"page_size {wanted}")
    return min(wanted or usual, most)
