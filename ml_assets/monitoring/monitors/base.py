"""Base class of drift monitors, and the statistics by which two profiles are compared.

A column has drifted when its distance from the reference reaches the larger of two thresholds: the smallest distance worth a
warning, and the distance that chance alone rarely exceeds. The second prevents false alarms with few rows, the first prevents
warnings about real but negligible differences with many.
"""

from abc import abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from math import sqrt

from pydantic import Field

from ml_assets.monitoring.profiles import Profile
from ml_assets.registry import Plugin

RARE = 5
"""Minimum expected count of a category in the smaller profile; rarer categories are pooled (Cochran 1954)."""
REST = "\x00rest"


@dataclass(frozen=True)
class Finding:
    """The result of a monitor for one column.

    Args:
        column: Name of the column.
        score: Distance of traffic from reference, 0 (equal) to 1 (nothing in common).
        threshold: Distance from which on the column has drifted.
        algorithm: `ks` (Kolmogorov-Smirnov distance, numbers) or `hellinger` (Hellinger distance, categories).
        drifted: `score >= threshold`.
        rows: Number of values of traffic that were compared.
    """

    column: str
    score: float
    threshold: float
    algorithm: str
    drifted: bool
    rows: int


class Monitor(Plugin):
    """Base class of drift monitors, which compare traffic with the data that the model was tested on."""

    numbers: float = Field(0.1, gt=0, le=1)
    """The smallest Kolmogorov-Smirnov distance of a column of numbers that is worth a warning."""
    categories: float = Field(0.1, gt=0, le=1)
    """The smallest Hellinger distance of a column of categories that is worth a warning."""
    false_alarms: float = Field(0.01, gt=0, lt=0.5)
    """Probability of a warning although nothing has changed, over all columns of the monitor together."""

    @abstractmethod
    def measure(self, reference: Profile, traffic: Profile) -> list[Finding]:
        """One finding for each column that this monitor watches and both profiles hold."""

    def compare(self, reference: Profile, traffic: Profile, columns: Sequence[str]) -> list[Finding]:
        """Findings for these columns; the allowed false alarms are divided equally among them (Bonferroni)."""
        shared = [c for c in columns if c in reference.columns and c in traffic.columns]
        comparable = [c for c in shared if reference.count(c) and traffic.count(c)]
        # if one side holds numbers and the other words, they are compared as categories, which share nothing
        return [
            self._numbers(reference, traffic, c, self.false_alarms / len(comparable))
            if reference.is_number(c) and traffic.is_number(c)
            else self._categories(reference, traffic, c, self.false_alarms / len(comparable))
            for c in comparable
        ]

    def _numbers(self, reference: Profile, traffic: Profile, column: str, chance: float) -> Finding:
        distance = traffic.ks_distance(reference, column) or 0.0
        threshold = max(self.numbers, ks_threshold(reference.count(column), traffic.count(column), chance))
        return Finding(column, distance, threshold, "ks", distance >= threshold, traffic.count(column))

    def _categories(self, reference: Profile, traffic: Profile, column: str, chance: float) -> Finding:
        before, now = pooled(reference.categories(column), traffic.categories(column))
        distance = hellinger_distance(before, now)
        threshold = max(self.categories, hellinger_threshold(before, now, chance))
        return Finding(column, distance, threshold, "hellinger", distance >= threshold, traffic.count(column))


def ks_threshold(reference: int, traffic: int, chance: float) -> float:
    """The Kolmogorov-Smirnov distance that two samples of these sizes from one distribution exceed with this `chance`."""
    from scipy.stats import kstwo

    return min(1.0, float(kstwo.isf(chance, max(1, round(reference * traffic / (reference + traffic))))))


def pooled(reference: Mapping[str, int], traffic: Mapping[str, int]) -> tuple[dict[str, int], dict[str, int]]:
    """Both counts with the same keys, with categories below the expected count `RARE` pooled into one."""
    totals = {c: reference.get(c, 0) + traffic.get(c, 0) for c in [*reference, *traffic]}
    both, smaller = sum(totals.values()), min(sum(reference.values()), sum(traffic.values()))
    kept = [c for c, total in totals.items() if total * smaller >= RARE * both]
    out = []
    for counts in (reference, traffic):
        common = {c: counts.get(c, 0) for c in kept}
        rest = sum(counts.values()) - sum(common.values())
        out.append(common | ({REST: rest} if len(kept) < len(totals) else {}))
    return out[0], out[1]


def hellinger_distance(reference: Mapping[str, int], traffic: Mapping[str, int]) -> float:
    """The Hellinger distance of two counts, 0 to 1: the square root of 1 minus the Bhattacharyya coefficient."""
    a, b = sum(reference.values()), sum(traffic.values())
    if not a or not b:
        return 1.0
    overlap = sum(sqrt(reference.get(c, 0) / a * count / b) for c, count in traffic.items())
    return sqrt(max(0.0, 1.0 - overlap))


def hellinger_threshold(reference: Mapping[str, int], traffic: Mapping[str, int], chance: float) -> float:
    """The Hellinger distance that two samples of one distribution exceed with probability `chance`, given their sizes.

    8 · n · m / (n + m) · H² follows a chi-squared distribution with one degree of freedom less than there are categories
    (the Freeman-Tukey member of the power divergences: Read & Cressie 1988, chapter 4).
    """
    from scipy.stats import chi2

    a, b = sum(reference.values()), sum(traffic.values())
    if not a or not b or len(reference) < 2:
        return 1.0
    return min(1.0, sqrt(float(chi2.isf(chance, len(reference) - 1)) * (a + b) / (8 * a * b)))
