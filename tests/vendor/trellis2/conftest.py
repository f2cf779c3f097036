"""The tiny official layout, written once."""

from pathlib import Path

import pytest

from tests.vendor.trellis2.tiny_layout import write_tiny_layout


@pytest.fixture(scope="session")
def tiny_root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """TRELLIS.2's own folder in it."""
    return write_tiny_layout(tmp_path_factory.mktemp("weights"))
