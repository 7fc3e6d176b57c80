"""One round is one fault and the look at what came of it; many of them are told as they go on, and in a table at the end."""

import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass

Say = Callable[[str], None]


@dataclass(frozen=True)
class Round:
    """One fault.

    Args:
        kind: The file of this folder that tried it.
        what: What was done, in words.
        lost: Acknowledged records that are gone.
        doubled: Records that are there more than once.
        problems: One sentence for each thing that is wrong; none if everything held.
    """

    kind: str
    what: str
    lost: int = 0
    doubled: int = 0
    problems: tuple[str, ...] = ()

    @property
    def held(self) -> bool:
        """Whether nothing is wrong."""
        return not (self.lost or self.doubled or self.problems)


def follow(kind: str, rounds: Iterable[Round], count: int, say: Say) -> list[Round]:
    """All rounds; each that fell is told at once, how far it is now and then."""
    began, made, told = time.monotonic(), list[Round](), 0.0
    for each in rounds:
        made.append(each)
        elapsed = time.monotonic() - began
        if not each.held:
            say(f"  FELL: {each.what}")
            for problem in each.problems:
                say(f"        {problem[:2000]}")
        if elapsed - told > 5 or not each.held or len(made) == count:
            told, rate = elapsed, len(made) / max(elapsed, 1e-9)
            say(f"  {kind}: {len(made)} of {count}, {rate:.2f} a second, {max(count - len(made), 0) / rate:.0f} s left")
    return made


def table(rounds: Iterable[Round]) -> str:
    """One line per kind, and one for all."""
    rounds = list(rounds)
    lines = [f"{'kind':<12} {'rounds':>7} {'held':>7} {'lost':>7} {'doubled':>8}"]
    for kind in [*dict.fromkeys(each.kind for each in rounds), "all"]:
        of_kind = [each for each in rounds if kind in (each.kind, "all")]
        lines.append(
            f"{kind:<12} {len(of_kind):>7} {sum(r.held for r in of_kind):>7} {sum(r.lost for r in of_kind):>7} "
            f"{sum(r.doubled for r in of_kind):>8}"
        )
    return "\n".join(lines)
