"""The whole way with tiny random networks in the official layout: roads, seeds, stops, memory."""

import dataclasses
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch

from tests.vendor.trellis2.tiny_layout import EXACT
from vendor.trellis2.decoding import DecodedAsset
from vendor.trellis2.layout import read_layout
from vendor.trellis2.pipeline import NoStructure, NotFinite, Road, Wish, cascade_cells, generate
from vendor.trellis2.residence import (
    PROFILES,
    OutOfMemory,
    Residence,
    fitting_profile,
    is_out_of_memory,
    official_networks,
)

CPU = torch.device("cpu")
BETWEEN = (Road.AT_1024, Road.CASCADE_1024)
QUICK = Wish(road=Road.AT_512, structure_steps=2, shape_steps=2, texture_steps=2, seed=3)
Load = Callable[[str], torch.nn.Module]


def picture(radius: float = 60.0) -> np.ndarray:
    rows, columns = np.mgrid[:160, :160] - 80.0
    pixels = np.zeros((160, 160, 4), np.uint8)
    pixels[..., 0], pixels[..., 1] = 200 - columns, 120 + rows
    pixels[..., 3] = 255 * (np.hypot(rows, columns) < radius)
    return pixels


@pytest.fixture(scope="module")
def load(tiny_root: Path) -> Load:
    """Networks of the tiny layout, each read once for the whole module."""
    fresh = official_networks(read_layout(tiny_root), EXACT, CPU)
    kept: dict[str, torch.nn.Module] = {}
    return lambda name: kept.setdefault(name, None) or kept.update({name: fresh(name)}) or kept[name]


@pytest.fixture
def networks(tiny_root: Path, load: Load) -> Residence:
    return residence(tiny_root, load)


def residence(tiny_root: Path, load: Load) -> Residence:
    return Residence(layout=read_layout(tiny_root), device=CPU, profile=PROFILES[1], load=load)


@dataclasses.dataclass(frozen=True)
class Made:
    """An asset, and everything that was told while it was made."""

    asset: DecodedAsset
    notes: tuple[str, ...]


@pytest.fixture(scope="module")
def usual(tiny_root: Path, load: Load) -> Made:
    """What the quick wish makes of one picture, made once for all that compare with it."""
    notes: list[str] = []
    asset = generate(residence(tiny_root, load), [picture()], QUICK, lambda _, note: notes.append(note))
    return Made(asset=asset, notes=tuple(notes))


def quiet(_share: float, _note: str) -> None:
    return


def same(one: DecodedAsset, other: DecodedAsset) -> bool:
    pairs = zip(dataclasses.astuple(one), dataclasses.astuple(other), strict=True)
    return all(np.array_equal(left, right) for left, right in pairs)


@pytest.mark.parametrize(
    "road", [pytest.param(road, marks=pytest.mark.slow if road in BETWEEN else ()) for road in Road]
)
def test_every_road_ends_at_a_surface(networks: Residence, road: Road) -> None:
    told: list[tuple[float, str]] = []
    made = generate(networks, [picture()], dataclasses.replace(QUICK, road=road), lambda *each: told.append(each))
    assert made.resolution == road.resolution
    assert len(made.faces) > 500
    assert np.abs(made.positions).max() <= 0.5 + 1.0 / road.resolution
    assert made.coords.max() < road.resolution
    assert ((made.attributes >= 0.0) & (made.attributes <= 1.0)).all()
    shares = [share for share, _ in told]
    assert shares == sorted(shares)
    assert shares[0] == 0.0
    assert shares[-1] == 0.99
    notes = list(dict.fromkeys(note for _, note in told))
    shaping = ["shaping it roughly", "refining the cells", "shaping it finely"] if road.is_cascade else ["shaping it"]
    ends = ["colouring it", "decoding the shape", "decoding the colours", "building the surface"]
    assert notes == ["looking at the pictures", "finding the coarse structure", *shaping, *ends]
    assert sum(note == "finding the coarse structure" for note in (each[1] for each in told)) == 3, "every step"


def test_a_seed_decides_everything(networks: Residence, usual: Made) -> None:
    assert same(usual.asset, generate(networks, [picture()], QUICK, quiet))
    assert not same(usual.asset, generate(networks, [picture()], dataclasses.replace(QUICK, seed=4), quiet))


def test_the_pictures_matter(networks: Residence, usual: Made) -> None:
    both = generate(networks, [picture(), picture(30.0)[:, ::-1]], QUICK, quiet)
    assert not same(usual.asset, both)
    twice = generate(networks, [picture(), picture()], QUICK, quiet)
    assert np.array_equal(twice.faces, usual.asset.faces)
    assert np.abs(twice.attributes - usual.asset.attributes).max() < 1e-4


@pytest.mark.parametrize("profile", PROFILES, ids=lambda profile: profile.name)
def test_results_do_not_depend_on_the_memory_profile(networks: Residence, usual: Made, profile, load: Load) -> None:
    wanted = usual.asset
    other = Residence(layout=networks.layout, device=CPU, profile=profile, load=load)
    found = generate(other, [picture()], QUICK, quiet)
    assert np.array_equal(found.faces, wanted.faces)
    assert np.abs(found.positions - wanted.positions).max() < 1e-5
    assert np.abs(found.attributes - wanted.attributes).max() < 1e-4
    assert bool(other._loaded) == profile.keep_all


class Stop(Exception):
    pass


def test_it_can_be_stopped_anywhere_and_lets_go(networks: Residence, usual: Made) -> None:
    whole = usual.notes
    for stop in range(1, len(whole), 5):
        heard: list[str] = []

        def tell(_share: float, note: str, heard: list[str] = heard, stop: int = stop) -> None:
            heard.append(note)
            if len(heard) > stop:
                raise Stop

        with pytest.raises(Stop):
            generate(networks, [picture()], QUICK, tell)
        assert heard == list(whole[: stop + 1])
        assert not networks._loaded


def test_a_stage_without_memory_is_done_again_under_the_next_profile(networks: Residence, usual: Made) -> None:
    wanted = usual.asset
    load = networks.load
    failures = ["shape_slat_flow_model_512", "shape_slat_flow_model_512", "tex_slat_decoder"]

    def short_of_memory(name: str) -> torch.nn.Module:
        if failures and failures[0] == name:
            failures.pop(0)
            raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB")
        return load(name)

    poor = Residence(layout=networks.layout, device=CPU, profile=PROFILES[0], load=short_of_memory)
    found = generate(poor, [picture()], QUICK, quiet)
    assert [(each.stage, each.before.budget_gb, each.after.budget_gb) for each in poor.shrunk] == [
        ("shaping it", 24, 16),
        ("shaping it", 16, 12),
        ("decoding the colours", 12, 8),
    ]
    assert poor.profile is PROFILES[-1]
    assert np.abs(found.attributes - wanted.attributes).max() < 1e-4
    assert np.array_equal(found.faces, wanted.faces)


def test_without_memory_for_the_smallest_profile_it_says_so(networks: Residence) -> None:
    def never(name: str) -> torch.nn.Module:
        raise torch.OutOfMemoryError("CUDA out of memory")

    poor = Residence(layout=networks.layout, device=CPU, profile=PROFILES[0], load=never)
    with pytest.raises(OutOfMemory, match="looking at the pictures needs more memory than the 8 GB profile"):
        generate(poor, [picture()], QUICK, quiet)


@pytest.mark.parametrize(
    ("error", "memory"),
    [
        (torch.OutOfMemoryError("x"), True),
        (MemoryError(), True),
        (RuntimeError("MPS backend out of memory (MPS allocated: 17 GB)"), True),
        (RuntimeError("[enforce fail] DefaultCPUAllocator: can't allocate memory: you tried to allocate"), True),
        (RuntimeError("mat1 and mat2 shapes cannot be multiplied"), False),
        (ValueError("out of memory"), False),
    ],
)
def test_what_counts_as_out_of_memory(error: Exception, memory: bool) -> None:
    assert is_out_of_memory(error) is memory


@pytest.mark.parametrize(
    ("memory_gb", "budget_gb"), [(85.0, 24), (25.4, 24), (17.1, 16), (12.6, 12), (8.6, 8), (6.0, 8)]
)
def test_the_profile_fits_the_device(memory_gb: float, budget_gb: int) -> None:
    assert fitting_profile(int(memory_gb * 1e9)).budget_gb == budget_gb


class Barren(torch.nn.Module):
    """A structure decoder that sees nothing anywhere."""

    def forward(self, latent: torch.Tensor) -> torch.Tensor:
        return torch.full((1, 1, 64, 64, 64), -1.0)


def test_an_empty_structure_is_told(networks: Residence) -> None:
    load = networks.load
    networks.load = lambda name: Barren() if name == "sparse_structure_decoder" else load(name)
    with pytest.raises(NoStructure):
        generate(networks, [picture()], QUICK, quiet)


def test_numbers_out_of_range_are_told(networks: Residence) -> None:
    spread = dataclasses.replace(networks.layout.shape_spread, mean=(float("inf"),) * 32)
    networks.layout = dataclasses.replace(networks.layout, shape_spread=spread)
    with pytest.raises(NotFinite, match="colouring it"):
        generate(networks, [picture()], QUICK, quiet)


@pytest.mark.parametrize("wanted", [1024, 1536])
def test_cascade_cells_by_counting(wanted: int) -> None:
    drawn = torch.randint(0, 512, (3000, 3), generator=torch.Generator().manual_seed(0), dtype=torch.int32)
    cells, resolution = cascade_cells(drawn, wanted, 100_000)
    expected = {tuple(int((c + 0.5) / 512 * (wanted // 16)) for c in cell) for cell in drawn.tolist()}
    assert resolution == wanted
    assert {tuple(cell) for cell in cells.coords.tolist()} == expected


def test_the_cascade_gives_way_until_there_are_few_enough_tokens() -> None:
    drawn = torch.randint(0, 512, (30_000, 3), generator=torch.Generator().manual_seed(0), dtype=torch.int32)
    counts = {edge: len(cascade_cells(drawn, edge, 10**9)[0]) for edge in (1536, 1408, 1280, 1152, 1024)}
    assert cascade_cells(drawn, 1536, counts[1280] + 1)[1] == 1280
    assert cascade_cells(drawn, 1536, 10)[1] == 1024, "no further"
