"""Prints the largest error of compiled blocks; a block that is not one whole graph raises.

The graphs are caught and run as they are: what a compiler makes of them is its own affair.
"""

import torch

from tests.vendor.trellis2.test_flow import TINY, array, error, normal, randomised
from vendor.trellis2.flow import FlowTransformer
from vendor.trellis2.rotary import dense_coords, rotation_of

COUNTS = (64, 33, 50)


def main() -> None:
    torch.set_num_threads(1)
    model = randomised(FlowTransformer(TINY))
    assert isinstance(model, FlowTransformer)
    coords = dense_coords(4, torch.device("cpu"))

    def run(count: int, context: torch.Tensor | None) -> torch.Tensor:
        rotation = rotation_of(coords[:count], model.head_channels)
        with torch.no_grad():
            return model(normal(count, 5), 0.5, context, rotation)

    asked = [(count, context) for count in COUNTS for context in (normal(6, 20, seed=2), None)]
    wanted = [run(*each) for each in asked]
    model.compile_blocks(backend="eager")
    print(max(error(run(*each), array(plain)) for each, plain in zip(asked, wanted, strict=True)))


if __name__ == "__main__":
    main()
