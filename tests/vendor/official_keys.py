"""What the official checkpoints hold, read from `tests/data/trellis2`: names, types and shapes, no weight."""

from pathlib import Path
from typing import NamedTuple

DATA = Path(__file__).parents[1] / "data" / "trellis2"


class StoredTensor(NamedTuple):
    """How one parameter lies in an official file."""

    dtype: str
    """`f16`, `bf16` or `f32`."""
    shape: tuple[int, ...]


def official_keys(checkpoint: str) -> dict[str, StoredTensor]:
    """Every parameter of one checkpoint, e.g. `ss_dec_conv3d_16l8_fp16`, by name."""
    rows = (DATA / f"{checkpoint}.tsv").read_text(encoding="utf-8").splitlines()
    fields = (row.split("\t") for row in rows)
    return {name: StoredTensor(dtype, tuple(int(edge) for edge in shape.split("x"))) for name, dtype, shape in fields}
