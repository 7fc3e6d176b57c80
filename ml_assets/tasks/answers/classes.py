"""Validates the class names of a task, and finds the class that an answer from outside means."""

import math
import re
import unicodedata
from collections import Counter
from collections.abc import Sequence
from typing import Any

from ml_assets.errors import InvalidValue, MLAssetsError

NOT_XML = re.compile("[^\t\n\r\u0020-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")
"""Matches characters that XML 1.0 does not allow (section 2.2)."""
WHOLE = re.compile(r"([+-]?\d+)\.0+")
"""Matches an integer written as a float, as in tables whose column holds fractions or gaps."""


class InvalidLabel(MLAssetsError, ValueError):
    """Raised for an answer that the task does not allow; the message lists the allowed ones."""


def known_classes(classes: tuple[str, ...]) -> tuple[str, ...]:
    """The classes, after checking that they are distinct and that Label Studio can show them. Raises `ValueError`."""
    twice = [name for name, count in Counter(map(_plain, classes)).items() if count > 1]
    if twice:
        raise InvalidValue(f"the class {twice[0]!r} stands twice in classes")
    if any(not name.strip() for name in classes):
        raise InvalidValue("a class needs a name")
    for name in classes:
        if NOT_XML.search(name):
            raise InvalidValue(f"the class {name!r} holds a character that no label config can hold")
    return classes


def from_yaml(classes: Any) -> Any:
    """The classes from a YAML with numbers as text. Raises `ValueError` for unquoted `yes`, `no`, `on`, `off`."""
    if not isinstance(classes, list | tuple):
        return classes
    for name in classes:
        if isinstance(name, bool):
            raise InvalidValue(f"YAML reads yes, no, on, off, true and false as {name}: put the classes into quotes")
    return [str(name) if isinstance(name, int | float) else name for name in classes]


def class_of(answer: Any, classes: Sequence[str]) -> str | None:
    """The class that an answer means, or None.

    Text means a class however its accents are written (Unicode NFC) and with space around it; a number, a boolean or a number
    as text (`1`, `1.0`, `True`) means the class that is written like it.
    """
    if isinstance(answer, str):
        if answer in classes:
            return answer
        written = [answer, *(match[1] for match in [WHOLE.fullmatch(answer.strip())] if match)]
    elif isinstance(answer, bool):
        written = [str(answer), str(answer).lower(), str(answer).upper(), str(int(answer))]
    elif isinstance(answer, int):
        written = [str(answer), f"{answer}.0"]
    elif isinstance(answer, float) and math.isfinite(answer):
        written = [str(answer), *([str(int(answer))] if answer == int(answer) else [])]
    else:
        return None
    known = {_plain(name): name for name in classes}
    return next((known[plain] for plain in map(_plain, written) if plain in known), None)


def unknown_class(answer: Any, classes: Sequence[str]) -> InvalidLabel:
    """The error for an answer that is not a class."""
    shown = repr(answer) if len(repr(answer)) < 80 else repr(answer)[:77] + "…"
    return InvalidLabel(f"unknown class {shown}: choose one of {', '.join(classes)}")


def _plain(name: str) -> str:
    return unicodedata.normalize("NFC", name).strip()
