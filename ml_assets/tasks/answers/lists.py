"""Reads, validates and writes answers that are JSON lists."""

import json
import reprlib
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from ml_assets.tasks.answers.classes import InvalidLabel, class_of

MOST = 1000
"""Maximum number of entries in an answer: people do not give more, and the consensus compares all pairs of entries."""
SHORT = reprlib.Repr()
SHORT.maxstring = SHORT.maxother = 80


def as_list(answer: Any, classes: Sequence[str]) -> list[Any]:
    """The answer as a list, parsed if it is JSON text. Raises `InvalidLabel` if it is not a list."""
    if isinstance(answer, str):
        try:
            answer = json.loads(answer)
        except (ValueError, RecursionError):
            raise refused(f"not a JSON list: {shown(answer)}", classes) from None
    if not isinstance(answer, list | tuple):
        raise refused(f"not a list: {shown(answer)}", classes)
    if len(answer) > MOST:
        raise refused(f"{len(answer)} entries, more than {MOST}", classes)
    return list(answer)


def as_value(answer: Sequence[Any] | Mapping[str, Any]) -> str:
    """The canonical JSON text of an answer or of one entry."""
    return json.dumps(answer, ensure_ascii=False, allow_nan=False)


def as_class(name: Any, classes: Sequence[str]) -> str:
    """The class that a name means. Raises `InvalidLabel`."""
    found = class_of(name, classes)
    if found is None:
        raise refused(f"unknown class {shown(name)}", classes)
    return found


def refused(reason: str, classes: Sequence[str]) -> InvalidLabel:
    """The error for an invalid answer: the reason and the allowed classes."""
    return InvalidLabel(f"{reason}: choose among {', '.join(classes)}")


def shown(answer: Any) -> str:
    """The answer as text in one line of at most 80 characters."""
    text = SHORT.repr(answer)
    return text if len(text) <= 80 else text[:79] + "…"


def in_order(found: Iterable[str], classes: Sequence[str]) -> tuple[str, ...]:
    """The distinct names in the order of the classes; names that are not among the classes come last, sorted."""
    names = set(found)
    return (*(name for name in classes if name in names), *sorted(names - set(classes)))
