"""Maps character positions between the content that was given and the item made of it, which lacks some characters."""

import json
import re
from bisect import bisect_right
from dataclasses import dataclass
from typing import Self

CARRIAGE_RETURN = re.compile(r"\r(?=\n)")


@dataclass(frozen=True)
class Offsets:
    """A map from the positions of an item's characters to those in the given content, and back.

    Args:
        runs: Pairs (first position in the item, number to add for the position in the given content), ascending in both. Each
            applies up to the next one.
        tail: Number of characters that were left out at the end.
    """

    runs: tuple[tuple[int, int], ...] = ((0, 0),)
    tail: int = 0

    @classmethod
    def of_text(cls, given: str) -> Self:
        """Make the map for a text whose item is stripped of space at both ends and has `\\n` for `\\r\\n`."""
        first, last = len(given) - len(given.lstrip()), len(given.rstrip())
        lost = [match.start() for match in CARRIAGE_RETURN.finditer(given, first, last)]
        return cls(((0, first), *((at - first - i, first + i + 1) for i, at in enumerate(lost))), len(given) - last)

    @property
    def unchanged(self) -> bool:
        """Whether every position in the item is the same in the given content."""
        return self.tail == 0 and all(farther == 0 for _, farther in self.runs)

    def to_given(self, position: int) -> int:
        """Convert a position in the item to the position in the given content."""
        return position + self.runs[bisect_right(self.runs, position, key=lambda run: run[0]) - 1][1]

    def to_item(self, position: int) -> int:
        """Convert a position in the given content to that of the first character of the item at or after it."""
        run = bisect_right(self.runs, position, key=lambda run: run[0] + run[1]) - 1
        if run < 0:
            return 0
        following = self.runs[run + 1][0] if run + 1 < len(self.runs) else position
        return min(position - self.runs[run][1], following)

    def to_json(self) -> str | None:
        """Convert the map to JSON; None if all positions are unchanged."""
        return None if self.unchanged else json.dumps([self.runs, self.tail])

    @classmethod
    def from_json(cls, text: str | None) -> Self:
        """Restore a map from the result of `to_json`. Raises `ValueError` if it is anything else."""
        if text is None:
            return cls()
        runs, tail = json.loads(text)
        return cls(tuple((int(start), int(farther)) for start, farther in runs), int(tail))


UNMOVED = Offsets()
"""The map of an item whose positions are all unchanged."""
