"""Random background textures in several families of patterns, each with random parameters."""

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

BRIGHTNESS = np.array([0.299, 0.587, 0.114])
"""Weights of red, green and blue in the brightness (ITU-R BT.601)."""

Pattern = NDArray[np.float64]


def ground(family: str, side: int, generator: np.random.Generator) -> tuple[NDArray[np.float64], float, float]:
    """Draw a texture, `(side, side, 3)` colours of 0 to 1 with grain; and its lowest and highest brightness without grain."""
    middle, reach = generator.uniform(0.15, 0.85), generator.uniform(0.03, 0.15)
    low, high = max(middle - reach, 0.0), min(middle + reach, 1.0)
    pattern = FAMILIES[family](side, generator)[:, :, None]
    painted = (1 - pattern) * colour(low, generator) + pattern * colour(high, generator)
    return painted + generator.normal(0, generator.uniform(0, 0.04), (side, side, 1)), low, high


def colour(brightness: float, generator: np.random.Generator) -> NDArray[np.float64]:
    """Draw a colour of about this brightness: red, green and blue, `(3,)`, 0 to 1."""
    hue = generator.normal(0, 0.15, 3)
    return np.asarray((brightness + hue - hue @ BRIGHTNESS).clip(0, 1))


def stripes(side: int, generator: np.random.Generator) -> Pattern:
    """Draw straight stripes, `(side, side)`, 0 to 1."""
    across, _ = _turned(side, generator)
    return _where((across * generator.uniform(2, 14) + generator.random()) % 1 < generator.uniform(0.3, 0.7))


def checks(side: int, generator: np.random.Generator) -> Pattern:
    """Draw a chessboard, `(side, side)`, 0 to 1."""
    across, along = _turned(side, generator)
    often = generator.uniform(2, 12)
    return _where((np.floor(across * often) + np.floor(along * often)) % 2 == 0)


def gradient(side: int, generator: np.random.Generator) -> Pattern:
    """Draw a linear gradient, `(side, side)`, 0 to 1."""
    across, _ = _turned(side, generator)
    return np.asarray((across - across.min()) / np.ptp(across))


def clouds(side: int, generator: np.random.Generator) -> Pattern:
    """Draw smooth noise, coarse or fine, `(side, side)`, 0 to 1."""
    from PIL import Image

    cells = int(2 ** generator.uniform(1, 5))
    small = Image.fromarray(generator.random((cells, cells)).astype(np.float32))
    return np.asarray(small.resize((side, side), Image.Resampling.BICUBIC), np.float64).clip(0, 1)


def blobs(side: int, generator: np.random.Generator) -> Pattern:
    """Draw irregular spots with hard edges, `(side, side)`, 0 to 1."""
    return _where(clouds(side, generator) > generator.uniform(0.4, 0.6))


def rings(side: int, generator: np.random.Generator) -> Pattern:
    """Draw concentric rings, `(side, side)`, 0 to 1."""
    (across, along), (x, y) = _turned(side, generator), generator.uniform(-0.6, 0.6, 2)
    return np.asarray(0.5 + 0.5 * np.sin(np.hypot(across - x, along - y) * generator.uniform(15, 70)))


def bricks(side: int, generator: np.random.Generator) -> Pattern:
    """Draw a brick wall, `(side, side)`, 0 to 1."""
    across, along = _turned(side, generator)
    often, joint = generator.uniform(3, 10), generator.uniform(0.08, 0.25)
    row = np.floor(along * often)
    return _where((along * often % 1 > joint) & ((across * often / 2 + row / 2) % 1 > joint / 2))


def dots(side: int, generator: np.random.Generator) -> Pattern:
    """Draw rows of discs, `(side, side)`, 0 to 1."""
    across, along = _turned(side, generator)
    often = generator.uniform(4, 14)
    return _where(np.hypot(across * often % 1 - 0.5, along * often % 1 - 0.5) < generator.uniform(0.2, 0.45))


def cells(side: int, generator: np.random.Generator) -> Pattern:
    """Draw Voronoi cells, each of one shade, `(side, side)`, 0 to 1."""
    points = generator.random((int(generator.integers(6, 60)), 2)) * side
    y, x = np.mgrid[:side, :side]
    nearest = ((x[:, :, None] - points[:, 0]) ** 2 + (y[:, :, None] - points[:, 1]) ** 2).argmin(2)
    return np.asarray(generator.random(len(points))[nearest])


def waves(side: int, generator: np.random.Generator) -> Pattern:
    """Draw wavy bands, `(side, side)`, 0 to 1."""
    across, along = _turned(side, generator)
    bend = generator.uniform(0.03, 0.12) * np.sin(along * generator.uniform(6, 25))
    return np.asarray(0.5 + 0.5 * np.sin((across + bend) * generator.uniform(15, 80)))


FAMILIES: dict[str, Callable[[int, np.random.Generator], Pattern]] = {
    family.__name__: family for family in (stripes, checks, gradient, clouds, blobs, rings, bricks, dots, cells, waves)
}


def _turned(side: int, generator: np.random.Generator) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Coordinates of each pixel on randomly rotated axes; the picture is 1 wide with 0 at its centre."""
    y, x = (np.mgrid[:side, :side] + 0.5) / side - 0.5
    angle = generator.uniform(0, 2 * np.pi)
    return x * np.cos(angle) + y * np.sin(angle), y * np.cos(angle) - x * np.sin(angle)


def _where(here: NDArray[np.bool_]) -> Pattern:
    return here.astype(np.float64)
