"""From noise to data along a learned flow, by Euler steps with guidance (Lipman et al., "Flow Matching", 2023).

The time runs from 1 (noise) to 0 (data). A velocity v at x = (1 - t) x0 + (smin + (1 - smin) t) noise points from the
data to the noise, so that x0 = (1 - smin) x - (smin + (1 - smin) t) v.
"""

import itertools
from collections.abc import Callable, Sequence

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from vendor.trellis2.sampler_settings import SamplerSettings

Velocity = Callable[[Tensor, float, Tensor | None], Tensor]
"""Asked at every step: the velocity at a place and time; context None is the negative."""


def time_steps(steps: int, rescale: float) -> list[float]:
    """``steps + 1`` times from 1 down to 0."""
    even = np.linspace(1.0, 0.0, steps + 1)
    return [float(time) for time in rescale * even / (1.0 + (rescale - 1.0) * even)]


def sample(
    velocity: Velocity,
    noise: Float[Tensor, "tokens channels"],
    contexts: Sequence[Tensor],
    settings: SamplerSettings,
    progress: Callable[[float], None],
) -> Float[Tensor, "tokens channels"]:
    """Walk from the noise to a sample. ``progress`` hears the share done before every step and may raise to stop.

    Several contexts (pictures of one object) are followed together: at each step the velocities towards them are
    averaged, as MultiDiffusion does (Bar-Tal et al. 2023), and guidance compares their mean with the negative.
    """
    x = noise
    times = time_steps(settings.steps, settings.rescale_t)
    for step, (time, following) in enumerate(itertools.pairwise(times)):
        progress(step / settings.steps)
        x = x - (time - following) * guided(velocity, x, time, contexts, settings)
    progress(1.0)
    return x


def guided(velocity: Velocity, x: Tensor, time: float, contexts: Sequence[Tensor], settings: SamplerSettings) -> Tensor:
    """Velocity at one step, with guidance where the interval has it."""
    low, high = settings.guidance_interval
    strength = settings.guidance_strength if low <= time <= high else 1.0
    if strength == 0.0:
        return velocity(x, time, None)
    towards = torch.stack([velocity(x, time, context) for context in contexts]).mean(dim=0)
    if strength == 1.0:
        return towards
    mixed = strength * towards + (1.0 - strength) * velocity(x, time, None)
    if settings.guidance_rescale == 0.0:
        return mixed
    return _respread(x, time, towards, mixed, settings)


def _respread(x: Tensor, time: float, towards: Tensor, mixed: Tensor, settings: SamplerSettings) -> Tensor:
    """Bring the spread of the guided estimate of the data back towards that of the unguided one."""
    keep, noise_share = 1.0 - settings.sigma_min, settings.sigma_min + (1.0 - settings.sigma_min) * time
    plain = keep * x - noise_share * towards
    strong = keep * x - noise_share * mixed
    narrowed = strong * (plain.std() / strong.std())
    data = settings.guidance_rescale * narrowed + (1.0 - settings.guidance_rescale) * strong
    return (keep * x - data) / noise_share
