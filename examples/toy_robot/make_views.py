"""Draw the four views of a toy robot: an object of formulas, so that its pictures belong to this project.

    python examples/toy_robot/make_views.py [folder]

The robot is a signed distance function; parallel rays are marched against it from the front, the back, the left and
the right, and shaded with soft daylight before a plain, light backdrop. Metres, Y up, the robot faces +Z.
"""

import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
from PIL import Image

SIZE_PX = 768
SAMPLES = 2
"""Rays an edge of each pixel."""
BLOCK = 1 << 15
"""Rays marched at once, few enough to stay in the cache."""
HEIGHT_M = 1.18
BACKDROP = np.array([0.80, 0.82, 0.84])
VIEWS = {"front": 0.0, "left": 90.0, "back": 180.0, "right": 270.0}

Points = np.ndarray
CREAM = np.array([0.85, 0.80, 0.66])
RED = np.array([0.72, 0.10, 0.07])
TEAL = np.array([0.07, 0.40, 0.42])
DARK = np.array([0.03, 0.03, 0.04])
YELLOW = np.array([0.90, 0.60, 0.05])
STEEL = np.array([0.45, 0.47, 0.50])


def ball(p: Points, center: tuple[float, float, float], radius: float) -> np.ndarray:
    """Distance to a ball."""
    return np.linalg.norm(p - center, axis=-1) - radius


def block(
    p: Points, center: tuple[float, float, float], half: tuple[float, float, float], round_m: float
) -> np.ndarray:
    """Distance to a block with rounded edges."""
    beyond = np.abs(p - center) - np.array(half) + round_m
    return np.linalg.norm(np.maximum(beyond, 0.0), axis=-1) + np.minimum(beyond.max(axis=-1), 0.0) - round_m


def rod(p: Points, start: tuple[float, float, float], end: tuple[float, float, float], radius: float) -> np.ndarray:
    """Distance to a rod with round ends."""
    axis = np.subtract(end, start)
    along = np.clip((p - start) @ axis / (axis @ axis), 0.0, 1.0)
    return np.linalg.norm(p - start - along[..., None] * axis, axis=-1) - radius


PARTS: tuple[tuple[np.ndarray, Callable[[Points], np.ndarray]], ...] = (
    (CREAM, lambda p: block(p, (0, 0.45, 0), (0.19, 0.19, 0.14), 0.06)),
    (CREAM, lambda p: block(p, (0, 0.79, 0), (0.17, 0.12, 0.15), 0.07)),
    (STEEL, lambda p: rod(p, (0, 0.6, 0), (0, 0.7, 0), 0.07)),
    (TEAL, lambda p: block(p, (-0.1, 0.14, 0.01), (0.07, 0.14, 0.11), 0.04)),
    (TEAL, lambda p: block(p, (0.1, 0.14, 0.01), (0.07, 0.14, 0.11), 0.04)),
    (RED, lambda p: rod(p, (-0.24, 0.56, 0), (-0.33, 0.3, 0.02), 0.055)),
    (RED, lambda p: rod(p, (0.24, 0.56, 0), (0.33, 0.3, 0.02), 0.055)),
    (STEEL, lambda p: rod(p, (0, 0.9, 0), (0, 0.99, 0), 0.014)),
    (RED, lambda p: ball(p, (0, 1.03, 0), 0.045)),
    (DARK, lambda p: ball(p, (-0.07, 0.81, 0.14), 0.042)),
    (DARK, lambda p: ball(p, (0.07, 0.81, 0.14), 0.042)),
    (RED, lambda p: rod(p, (-0.07, 0.72, 0.15), (0.07, 0.72, 0.15), 0.014)),
    (YELLOW, lambda p: block(p, (0, 0.47, 0.14), (0.1, 0.07, 0.012), 0.01)),
    (DARK, lambda p: rod(p, (-0.05, 0.47, 0.155), (0.05, 0.47, 0.155), 0.014)),
    (TEAL, lambda p: block(p, (0, 0.47, -0.16), (0.12, 0.13, 0.06), 0.03)),
    (YELLOW, lambda p: rod(p, (0, 0.54, -0.22), (0, 0.4, -0.22), 0.02)),
    (STEEL, lambda p: rod(p, (0.17, 0.79, 0), (0.2, 0.79, 0), 0.05)),
    (YELLOW, lambda p: rod(p, (-0.2, 0.79, 0), (-0.17, 0.79, 0), 0.05)),
)


def distance(points: Points) -> tuple[np.ndarray, np.ndarray]:
    """Distance to the robot, and which part is nearest."""
    each = np.stack([part(points) for _, part in PARTS], axis=-1)
    return each.min(axis=-1), each.argmin(axis=-1)


def view(turn_deg: float) -> np.ndarray:
    """One picture as sRGB bytes; the eye stands at +Z turned about Y."""
    edge = SIZE_PX * SAMPLES
    ruler = (np.arange(edge) + 0.5) * HEIGHT_M / edge
    across, up = np.meshgrid(ruler - HEIGHT_M / 2, HEIGHT_M - ruler - 0.05)
    turn = np.deg2rad(turn_deg)
    towards = np.array([np.sin(turn), 0.0, np.cos(turn)])
    right = np.array([np.cos(turn), 0.0, -np.sin(turn)])
    points = (towards + across[..., None] * right + up[..., None] * np.array([0.0, 1.0, 0.0])).reshape(-1, 3)
    hit = np.zeros(len(points), bool)
    for start in range(0, len(points), BLOCK):
        hit[start : start + BLOCK] = march(points[start : start + BLOCK], towards)
    image = np.tile(BACKDROP, (len(points), 1))
    image[hit] = shade(points[hit], towards, right)
    light = image.reshape(SIZE_PX, SAMPLES, SIZE_PX, SAMPLES, 3).mean(axis=(1, 3))
    srgb = np.where(light <= 0.0031308, light * 12.92, 1.055 * np.clip(light, 0, 1) ** (1 / 2.4) - 0.055)
    return np.round(np.clip(srgb, 0, 1) * 255).astype(np.uint8)


def march(points: Points, towards: np.ndarray) -> np.ndarray:
    """Move points along their rays to the robot, in place; says which of them reach it."""
    hit = np.zeros(len(points), bool)
    active = np.arange(len(points))
    for _ in range(90):
        away, _ = distance(points[active])
        points[active] -= away[:, None] * towards
        hit[active[away < 2e-4]] = True
        active = active[(away >= 2e-4) & (points[active] @ towards > -0.3)]
        if len(active) == 0:
            break
    return hit


def shade(points: Points, towards: np.ndarray, right: np.ndarray) -> np.ndarray:
    """Soft daylight from above and beside the eye."""
    small = 5e-4 * np.eye(3)
    normals = np.stack([distance(points + d)[0] - distance(points - d)[0] for d in small], axis=-1)
    normals /= np.maximum(np.linalg.norm(normals, axis=-1, keepdims=True), 1e-9)
    lamp = 0.6 * towards + 0.35 * right + np.array([0.0, 0.7, 0.0])
    bright = 0.45 + 0.25 * normals[:, 1] + 0.45 * np.maximum(normals @ (lamp / np.linalg.norm(lamp)), 0.0)
    colors = np.stack([color for color, _ in PARTS])[distance(points)[1]]
    return colors * bright[:, None]


def main() -> None:
    """Draw all views."""
    folder = Path(sys.argv[1]) if len(sys.argv) > 1 else Path(__file__).parent
    for name, turn in VIEWS.items():
        Image.fromarray(view(turn)).save(folder / f"{name}.png", optimize=True)
        print(folder / f"{name}.png")


if __name__ == "__main__":
    main()
