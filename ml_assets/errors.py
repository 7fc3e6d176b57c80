"""The base classes of expected errors, whose message is one sentence for people; any other error is a bug."""

import difflib
from collections.abc import Iterable


class MLAssetsError(Exception):
    """Base class of expected errors, for which commands print the message without a traceback."""

    def __str__(self) -> str:
        """The message as it was given, without the quotes that `KeyError` would add."""
        return " ".join(map(str, self.args))


def unknown(kind: str, name: str, choices: Iterable[str]) -> str:
    """Make the message for a name that is not one of the choices, with a suggestion if one is similar."""
    known = list(choices)
    alike = difflib.get_close_matches(name, known, 1)
    meant = f"; did you mean {alike[0]!r}?" if alike else ""
    return f"unknown {kind} {name!r}: choose one of {', '.join(known) or '(it has none)'}{meant}"


class InvalidValue(MLAssetsError, ValueError):
    """A given value is invalid; the message names it and, where possible, the choices."""


class Missing(MLAssetsError, LookupError):
    """Something that is needed does not exist; the message says how to create it."""


class Failed(MLAssetsError, RuntimeError):
    """An operation failed; the message says why."""
