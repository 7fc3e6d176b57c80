"""Computes metrics with intervals by bootstrap over samples."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from statistics import NormalDist

import numpy as np
from numpy.typing import NDArray

DRAWS = 1000
PART = 100

Draws = dict[str, NDArray[np.float64]]
"""Metrics by name, each `(1 + draws,)`: the value over all samples, then over each bootstrap draw."""
Figures = Callable[[NDArray[np.float64]], dict[str, NDArray[np.float64]]]
"""A function from sample counts `(d, n)` to metrics `(d,)` by name."""


@dataclass(frozen=True)
class Metric:
    """The value of a metric with its 95 % interval."""

    value: float
    low: float
    high: float


def bootstrap(models: Sequence[Figures], n: int, seed: int, draws: int) -> list[Draws]:
    """The metrics of each model over the same bootstrap draws of `n` samples."""
    found: list[list[dict[str, NDArray[np.float64]]]] = [[] for _ in models]
    for weights in _resampled(n, seed, draws):
        for parts, figures in zip(found, models, strict=True):
            parts.append(figures(weights))
    return [{name: np.concatenate([part[name] for part in parts]) for name in parts[0]} for parts in found]


def as_metrics(found: Draws, samples: int) -> dict[str, Metric]:
    """Each metric with the 95 % interval of its draws.

    Where all samples are right, or none, so are they in every draw. The interval is then widened to Wilson's interval (1927) of
    a share.
    """
    metrics = {name: _with_interval(float(values[0]), values[1:]) for name, values in found.items()}
    least = samples / (samples + NormalDist().inv_cdf(0.975) ** 2)
    return {
        name: Metric(m.value, min(m.low, least), m.high) if m.value >= 1
        else Metric(m.value, m.low, max(m.high, 1 - least)) if m.value <= 0
        else m
        for name, m in metrics.items()
    }  # fmt: skip


def paired(first: NDArray[np.float64], second: NDArray[np.float64]) -> Metric:
    """The difference of a metric between two models, with the 95 % interval of the paired draws."""
    return _with_interval(float(first[0] - second[0]), first[1:] - second[1:])


def _resampled(n: int, seed: int, draws: int) -> Iterator[NDArray[np.float64]]:
    """Yield `(d, n)` counts of `n` samples: first one each, then those of `draws` bootstrap draws.

    Draws are made in parts, so that many samples do not fill the memory.
    """
    rng = np.random.default_rng(seed)
    yield np.ones((1, n))
    for _ in range(draws // PART):
        yield rng.multinomial(n, np.full(n, 1 / n), size=PART).astype(float)


def _with_interval(value: float, draws: NDArray[np.float64]) -> Metric:
    """A metric with the 95 % percentile interval of its draws (Efron & Tibshirani 1993, §13.3).

    The interval holds the figure itself: of few samples no draw may be as good.
    """
    low, high = (float(edge) for edge in np.percentile(draws, [2.5, 97.5]))
    return Metric(value, min(low, value), max(high, value))
