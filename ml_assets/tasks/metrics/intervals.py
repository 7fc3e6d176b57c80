"""Metrics with intervals, which are drawn by bootstrap over samples."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from statistics import NormalDist

import numpy as np
from numpy.typing import NDArray

DRAWS = 1000
PART = 100

Draws = dict[str, NDArray[np.float64]]
"""Figures by name, `(1 + draws,)`: of all samples, then of each bootstrap draw."""
Figures = Callable[[NDArray[np.float64]], dict[str, NDArray[np.float64]]]
"""Gives figures `(d,)` by name of `n` samples that count `(d, n)` times."""


@dataclass(frozen=True)
class Metric:
    """A figure with its 95 % interval."""

    value: float
    low: float
    high: float


def bootstrap(models: Sequence[Figures], n: int, seed: int, draws: int) -> list[Draws]:
    """The figures of each model on the same `n` samples, which are resampled together."""
    found: list[list[dict[str, NDArray[np.float64]]]] = [[] for _ in models]
    for weights in _resampled(n, seed, draws):
        for parts, figures in zip(found, models, strict=True):
            parts.append(figures(weights))
    return [{name: np.concatenate([part[name] for part in parts]) for name in parts[0]} for parts in found]


def as_metrics(found: Draws, samples: int) -> dict[str, Metric]:
    """Each figure with the interval of its draws.

    Where all samples are right, or none, so are they in every draw. What of so few samples follows for others is then what
    Wilson's interval (1927) says of a share.
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
    """A figure of one model minus that of another, draw by draw."""
    return _with_interval(float(first[0] - second[0]), first[1:] - second[1:])


def _resampled(n: int, seed: int, draws: int) -> Iterator[NDArray[np.float64]]:
    """How often each of `n` samples counts, `(d, n)`: once each, then in `draws` draws.

    Draws are made in parts, so that many samples do not fill the memory.
    """
    rng = np.random.default_rng(seed)
    yield np.ones((1, n))
    for _ in range(draws // PART):
        yield rng.multinomial(n, np.full(n, 1 / n), size=PART).astype(float)


def _with_interval(value: float, draws: NDArray[np.float64]) -> Metric:
    """The figure with the 95 % percentile interval of its draws (Efron & Tibshirani 1993, §13.3).

    The interval holds the figure itself: of few samples no draw may be as good.
    """
    low, high = (float(edge) for edge in np.percentile(draws, [2.5, 97.5]))
    return Metric(value, min(low, value), max(high, value))
