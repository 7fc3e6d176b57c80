"""The root of all errors whose message is one sentence for people. Anything else that is raised is a mistake in the program."""

import difflib
from collections.abc import Iterable


class MLAssetsError(Exception):
    """An error that was foreseen: the command prints its message, and no traceback."""

    def __str__(self) -> str:
        """The sentence as it was given; `KeyError` alone would show it in quotes."""
        return " ".join(map(str, self.args))


def unknown(kind: str, name: str, choices: Iterable[str]) -> str:
    """The sentence for a name that is none of the choices, with the one that was probably meant."""
    known = list(choices)
    alike = difflib.get_close_matches(name, known, 1)
    meant = f"; did you mean {alike[0]!r}?" if alike else ""
    return f"unknown {kind} {name!r}: choose one of {', '.join(known) or '(it has none)'}{meant}"


class InvalidValue(MLAssetsError, ValueError):
    """A value that somebody gave cannot be used; the message names it and the choices."""


class Missing(MLAssetsError, LookupError):
    """Something that is needed is not there; the message says what makes it."""


class Failed(MLAssetsError, RuntimeError):
    """Something could not be done; the message says why."""
