"""Channel packing: right channel, right bytes."""

import numpy as np
import pytest

from bridge_server.errors import StageFailed
from bridge_server.run import SilentRun
from bridge_server.stages.pack import Pack
from bridge_server.values.texture import AoMap, MetallicRoughnessMap, Packing

AO = AoMap(pixels=np.full((4, 4), 10, np.uint8))
FINISH = MetallicRoughnessMap(pixels=np.broadcast_to(np.uint8([200, 70]), (4, 4, 2)))


@pytest.mark.parametrize(
    ("packing", "expected"),
    [(Packing.ORM, [10, 70, 200]), (Packing.METALLIC_ROUGHNESS, [10, 70, 200]), (Packing.MASK_MAP, [200, 10, 0, 185])],
)
def test_channels(packing: Packing, expected: list[int]) -> None:
    packed = Pack(packing=packing)(SilentRun(), ao=AO, metallic_roughness=FINISH)
    assert packed.packing is packing
    assert packed.pixels.dtype == np.uint8
    np.testing.assert_array_equal(packed.pixels, np.broadcast_to(np.uint8(expected), (4, 4, len(expected))))


def test_maps_of_different_size_are_refused() -> None:
    with pytest.raises(StageFailed, match="8 px"):
        Pack()(SilentRun(), ao=AoMap(pixels=np.zeros((8, 8), np.uint8)), metallic_roughness=FINISH)
