"""One server for all tests of this folder; what it forged once serves every test that looks at it."""

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.end_to_end import packages
from tests.end_to_end.workplace import Forged, Workplace, need_weights, opened

Package = Callable[[str], Forged]


@pytest.fixture(scope="session")
def workplace(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Workplace]:
    """The shared server, with the settings of the product."""
    with opened(tmp_path_factory.mktemp("server"), tmp_path_factory.mktemp("packages")) as place:
        yield place


@pytest.fixture(scope="session")
def inputs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder for the input files that tests make."""
    return tmp_path_factory.mktemp("inputs")


@pytest.fixture(scope="session")
def package(workplace: Workplace, inputs: Path) -> Package:
    """Forge one of ``packages.ORDERS``, the first time it is asked for."""
    done: dict[str, Forged] = {}

    def get(name: str) -> Forged:
        order = packages.ORDERS[name]
        if order.weights:
            need_weights()
        if name not in done:
            files, wish = order.wish(inputs)
            done[name] = workplace.forge(*files, **wish)
        return done[name]

    return get
