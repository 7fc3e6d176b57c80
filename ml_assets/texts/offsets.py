"""Positions in content as it was given, and in the item that was made of it, which lacks some of its characters."""

import json
import re
from bisect import bisect_right
from dataclasses import dataclass
from typing import Self

CARRIAGE_RETURN = re.compile(r"\r(?=\n)")


@dataclass(frozen=True)
class Offsets:
    """Where each character of an item stood in the content that was given.

    Args:
        runs: Pairs (first position in the item, how much farther on it stood in the given content), ascending in both. Each
            holds up to the next one.
        tail: How many characters were left out at the end.
    """

    runs: tuple[tuple[int, int], ...] = ((0, 0),)
    tail: int = 0

    @classmethod
    def of_text(cls, given: str) -> Self:
        """Of a text whose item has no space at either end and `\\n` for `\\r\\n`."""
        first, last = len(given) - len(given.lstrip()), len(given.rstrip())
        lost = [match.start() for match in CARRIAGE_RETURN.finditer(given, first, last)]
        return cls(((0, first), *((at - first - i, first + i + 1) for i, at in enumerate(lost))), len(given) - last)

    @property
    def unchanged(self) -> bool:
        """Whether all positions are the same in both."""
        return self.tail == 0 and all(farther == 0 for _, farther in self.runs)

    def to_given(self, position: int) -> int:
        """The position in the given content of the character at this position of the item."""
        return position + self.runs[bisect_right(self.runs, position, key=lambda run: run[0]) - 1][1]

    def to_item(self, position: int) -> int:
        """The position in the item of the first character that stood at this position of the given content or behind it."""
        run = bisect_right(self.runs, position, key=lambda run: run[0] + run[1]) - 1
        if run < 0:
            return 0
        following = self.runs[run + 1][0] if run + 1 < len(self.runs) else position
        return min(position - self.runs[run][1], following)

    def to_json(self) -> str | None:
        """Runs and tail as JSON; None if nothing moved."""
        return None if self.unchanged else json.dumps([self.runs, self.tail])

    @classmethod
    def from_json(cls, text: str | None) -> Self:
        """What `to_json` made. Raises `ValueError` if it is anything else."""
        if text is None:
            return cls()
        runs, tail = json.loads(text)
        return cls(tuple((int(start), int(farther)) for start, farther in runs), int(tail))


UNMOVED = Offsets()
"""Of an item whose characters all stand where they stood."""
