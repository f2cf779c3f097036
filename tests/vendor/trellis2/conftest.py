"""Tensors are checked against their declared shapes and types while these tests run; the tiny official layout."""

from pathlib import Path

import pytest
import torch
from jaxtyping import install_import_hook

CHECKED = (
    "attention",
    "conditioning",
    "decoding",
    "dense_reference",
    "dual_grid",
    "flow",
    "norms",
    "pipeline",
    "rotary",
    "sampler",
    "sparse_conv",
    "sparse_decoder",
    "sparse_sampling",
    "structure_decoder",
    "subdivision",
    "voxels",
)

hook = install_import_hook([f"vendor.trellis2.{name}" for name in CHECKED], "beartype.beartype")
hook.__enter__()
torch.set_num_threads(1)  # networks this small wait longer for a second thread than they gain from it


@pytest.fixture(scope="session")
def tiny_root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """TRELLIS.2's own folder in the official layout, with tiny networks, written once."""
    from tests.vendor.trellis2.tiny_layout import write_tiny_layout

    return write_tiny_layout(tmp_path_factory.mktemp("weights"))
