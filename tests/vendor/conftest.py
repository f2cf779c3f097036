"""Tensors of the sparse side are checked against their declared shapes and types while these tests run."""

from jaxtyping import install_import_hook

CHECKED = (
    "decoding",
    "dense_reference",
    "dual_grid",
    "norms",
    "sparse_conv",
    "sparse_decoder",
    "sparse_sampling",
    "structure_decoder",
    "subdivision",
    "voxels",
)

hook = install_import_hook([f"vendor.trellis2.{name}" for name in CHECKED], "beartype.beartype")
hook.__enter__()
