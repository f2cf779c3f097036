"""The sampler on flows whose course is known in closed form, and each of its features by itself."""

import math
from collections.abc import Callable

import pytest
import torch

from vendor.trellis2.sampler import guided, sample, time_steps
from vendor.trellis2.sampler_settings import SamplerSettings

MEAN, SPREAD = 2.0, 0.5
PICTURE = torch.tensor([1.0])


def gaussian_velocity(x: torch.Tensor, time: float, context: torch.Tensor | None) -> torch.Tensor:
    """The exact velocity between N(MEAN, SPREAD^2) at time 0 and N(0, 1) at time 1; the negative has mean 0.

    With x = (1 - t) a + t n, the mean of n - a given x is ((t - (1 - t) s^2) / var) (x - (1 - t) m) - m.
    """
    mean = 0.0 if context is None else MEAN * float(context)
    variance = (1.0 - time) ** 2 * SPREAD**2 + time**2
    return (time - (1.0 - time) * SPREAD**2) / variance * (x - (1.0 - time) * mean) - mean


def noise(count: int = 4000) -> torch.Tensor:
    return torch.randn((count, 1), generator=torch.Generator().manual_seed(0), dtype=torch.float64)


def walk(settings: SamplerSettings, contexts: list[torch.Tensor], start: torch.Tensor) -> torch.Tensor:
    return sample(gaussian_velocity, start, contexts, settings, lambda _: None)


def constant(towards: float, away: float) -> Callable[..., torch.Tensor]:
    return lambda x, time, context: torch.full_like(x, away if context is None else towards)


@pytest.mark.parametrize("rescale", [1.0, 3.0])
def test_noise_flows_into_the_gaussian_it_should(rescale: float) -> None:
    """In one dimension the flow keeps ranks, so that noise z ends at MEAN + SPREAD z."""
    errors = []
    for steps in (25, 50, 100):
        found = walk(SamplerSettings(steps=steps, rescale_t=rescale), [PICTURE], noise())
        errors.append(float((found - (MEAN + SPREAD * noise())).abs().max()))
    assert errors[-1] < 0.1
    assert errors[0] / errors[1] == pytest.approx(2.0, rel=0.2), "Euler steps converge in first order"
    assert errors[1] / errors[2] == pytest.approx(2.0, rel=0.2)


def test_guidance_in_closed_form() -> None:
    """Velocities are linear in the mean, so strength g of a mean m against 0 is the flow towards g m."""
    guided_walk = walk(SamplerSettings(steps=50, guidance_strength=3.0), [PICTURE], noise())
    torch.testing.assert_close(guided_walk, walk(SamplerSettings(steps=50), [3.0 * PICTURE], noise()))


def test_times_are_warped_towards_the_noise() -> None:
    assert time_steps(4, 1.0) == pytest.approx([1.0, 0.75, 0.5, 0.25, 0.0])
    assert time_steps(4, 3.0) == pytest.approx([1.0, 0.9, 0.75, 0.5, 0.0])


@pytest.mark.parametrize(
    ("time", "acts"), [(1.0, True), (0.9, True), (0.75, True), (0.6, True), (0.59, False), (0.95, False), (0.0, False)]
)
def test_guidance_acts_inside_its_interval_alone(time: float, acts: bool) -> None:
    low, high = (0.6, 1.0) if time == 1.0 else (0.6, 0.9)
    settings = SamplerSettings(guidance_strength=5.0, guidance_interval=(low, high))
    found = guided(constant(1.0, 0.0), torch.zeros(3, 2), time, [PICTURE], settings)
    assert (found == (5.0 if acts else 1.0)).all()


@pytest.mark.parametrize(("strength", "asked"), [(1.0, ["picture"]), (0.0, ["none"]), (2.0, ["picture", "none"])])
def test_the_network_is_asked_no_more_than_needed(strength: float, asked: list[str]) -> None:
    heard: list[str] = []

    def velocity(x: torch.Tensor, time: float, context: torch.Tensor | None) -> torch.Tensor:
        heard.append("none" if context is None else "picture")
        return torch.zeros_like(x)

    guided(velocity, torch.zeros(3, 2), 0.5, [PICTURE], SamplerSettings(guidance_strength=strength))
    assert heard == asked


@pytest.mark.parametrize("rescale", [0.0, 0.5, 1.0])
def test_rescaling_brings_the_spread_of_the_data_back(rescale: float) -> None:
    """By the definition: the estimate of the data is blended with itself at the spread of the unguided one."""
    x, time, floor = noise(500), 0.7, 1e-5
    settings = SamplerSettings(guidance_strength=4.0, guidance_rescale=rescale)
    velocity = guided(lambda at, t, context: at * (0.9 if context is not None else 0.1), x, time, [PICTURE], settings)

    def data(speed: torch.Tensor) -> torch.Tensor:
        return (1.0 - floor) * x - (floor + (1.0 - floor) * time) * speed

    plain, strong = data(0.9 * x), data((4.0 * 0.9 - 3.0 * 0.1) * x)
    wanted = rescale * float(plain.std()) + (1.0 - rescale) * float(strong.std())
    assert float(data(velocity).std()) == pytest.approx(wanted, rel=1e-6)


def test_several_pictures_are_followed_together() -> None:
    settings = SamplerSettings(steps=20, guidance_strength=2.0)
    both = walk(settings, [PICTURE, 3.0 * PICTURE], noise())
    torch.testing.assert_close(both, walk(settings, [2.0 * PICTURE], noise()))
    one = walk(settings, [PICTURE], noise())
    torch.testing.assert_close(walk(settings, [PICTURE, PICTURE], noise()), one)


def test_progress_is_told_before_every_step_and_may_stop() -> None:
    told: list[float] = []
    sample(constant(0.0, 0.0), noise(3), [PICTURE], SamplerSettings(steps=4), told.append)
    assert told == [0.0, 0.25, 0.5, 0.75, 1.0]

    class Stop(Exception):
        pass

    def stop(done: float) -> None:
        if done >= 0.5:
            raise Stop

    asked: list[float] = []

    def velocity(x: torch.Tensor, time: float, context: torch.Tensor | None) -> torch.Tensor:
        asked.append(time)
        return x

    with pytest.raises(Stop):
        sample(velocity, noise(3), [PICTURE], SamplerSettings(steps=4), stop)
    assert len(asked) == 2
    assert math.isclose(asked[1], 0.75)
