"""Measures the agreement of several answers to one question."""

import math
from collections import Counter
from collections.abc import Callable, Sequence


def agreement(values: Sequence[str], similarity: Callable[[str, str], float]) -> float:
    """The expected similarity of two answers that are drawn from the given ones with replacement.

    An answer also meets itself, so that as many voices again for the same opinions change nothing, and that two who share
    nothing agree by one half, as they do on a single choice.

    Args:
        values: At least one answer.
        similarity: From 0 to 1, symmetric, 1 for the same answer.
    """
    counts = sorted(Counter(values).items())
    pairs = (m * n * (1.0 if a == b else similarity(a, b)) for a, m in counts for b, n in counts)
    return math.fsum(pairs) / len(values) ** 2
