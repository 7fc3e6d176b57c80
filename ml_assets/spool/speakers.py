"""The labeler names that an API key may use for the labels it sends, and the names that no key may use.

A key speaks in its own name, or in a name that the owner of the installation gave it (`ml-assets keys add --speaks-for`). The
endpoint binds the labeler to the key before it writes to the inbox; collection checks the names in the inbox again.
"""

import re
import unicodedata
from collections.abc import Mapping, Sequence
from typing import Any, Literal

from ml_assets.errors import MLAssetsError

Kind = Literal["person", "program"]

PUBLISHED = "published"
"""The labeler of labels that came with the data."""
MONITORING = "monitoring"
"""The labeler name of monitoring, which sends uncertain predictions back to annotators."""
PRODUCTION = "production"
"""The source of the samples that come from these predictions."""
RESERVED = (PUBLISHED, MONITORING, PRODUCTION, "admin", "administrator", "unknown user")
"""Names of the installation itself: labels that came with the data, samples from monitoring and production, Label Studio."""
LONGEST = 100
"""Most characters of a name."""
_USER = re.compile(r"user \d+")
"""The name that Label Studio shows for a deleted account."""


class BadName(MLAssetsError, ValueError):
    """A name that cannot be stored or shown; the message is one sentence."""


class MayNotSpeak(MLAssetsError, ValueError):
    """A labeler name that the API key may not use; the message is one sentence."""


def checked(name: str, what: str = "a key") -> str:
    """Strip and validate a name. Raises `BadName` if it is empty, too long, or cannot be written on one line.

    Args:
        name: Any text, also one from a command line whose bytes are not UTF-8.
        what: The owner of the name, for the message.
    """
    found = name.strip()
    if not found:
        raise BadName(f"{what} cannot be named {name!r}: say who will use it")
    if len(found) > LONGEST:
        raise BadName(f"{what} cannot have a name of {len(found):,} characters: at most {LONGEST}")
    if bad := next((c for c in found if unicodedata.category(c) in ("Cc", "Cf", "Cs", "Co", "Cn", "Zl", "Zp")), None):
        raise BadName(f"{what} cannot be named {found[:40]!r}: {bad!r} is no character of a name")
    return found


def is_person(name: str) -> bool:
    """Whether the name is that of a person: an e-mail address, or Label Studio's name for a deleted account."""
    plain = _plain(name)
    return "@" in plain or _USER.fullmatch(plain) is not None


def is_reserved(name: str) -> bool:
    """Whether the name is reserved for the installation itself, in any spelling."""
    return _plain(name) in RESERVED


def check_own(name: str) -> str:
    """Validate the name of a new key. Raises `BadName`, and `MayNotSpeak` if it is reserved or a person's."""
    found = checked(name)
    if is_reserved(found):
        raise MayNotSpeak(f"a key cannot be named {found!r}: {', '.join(RESERVED)} are names of the installation itself")
    if is_person(found):
        raise MayNotSpeak(
            f"a key cannot be named {found!r}, which is a person's name: name the program, and give it --speaks-for {found!r} "
            "if it carries that person's answers"
        )
    return found


def check_given(name: str) -> str:
    """Validate a further labeler name for a key, which may be a person's. Raises `BadName`, `MayNotSpeak` if it is reserved."""
    found = checked(name, "a labeler")
    if is_reserved(found):
        raise MayNotSpeak(f"no key may speak for {found!r}: {', '.join(RESERVED)} are names of the installation itself")
    return found


def may_be_given(name: str) -> bool:
    """Whether a key may be given this labeler name."""
    try:
        return check_given(name) == name
    except ValueError:
        return False


def bound(labeler: str | None, kind: str | None, client: str, speaks_for: Sequence[str] = ()) -> tuple[str, Kind]:
    """The labeler and its kind, for a label that a key sends. Raises `MayNotSpeak`.

    Args:
        labeler: The name that the request claims; None means the key's own.
        kind: The kind that it claims; None means that it follows from the name.
        client: The key's name.
        speaks_for: The other names that the key was given.
    """
    name = client if labeler is None else labeler
    allowed = (client, *speaks_for)
    if is_reserved(name) or name not in allowed or (is_person(name) and name not in speaks_for):
        others = [other for other in allowed if not is_reserved(other) and (other in speaks_for or not is_person(other))]
        raise MayNotSpeak(
            f"this key may not speak as {name[:LONGEST]!r}: it speaks as {', '.join(map(repr, others)) or 'nobody'}"
        )
    person = is_person(name)
    if kind not in (None, "program", *(["person"] if person else [])):
        raise MayNotSpeak(f"this key may not speak as a {kind}: {name!r} is {'a person' if person else 'a program'}")
    return name, "person" if person and kind != "program" else "program"


def of_line(line: Mapping[str, Any]) -> tuple[str, Kind]:
    """The labeler and its kind, for a label in the inbox. Raises `BadName`, `MayNotSpeak`.

    The endpoint writes `client` and `key` (name and id of the API key), `labeler` and `labeler_kind` (bound to it). Because
    something else may have written the line, reserved names are refused, and a person's name without a `key`, too.
    """
    claimed = line.get("labeler") or line.get("client")
    if not isinstance(claimed, str):
        raise BadName("the label has no labeler: say who or what gave it")
    name = checked(claimed, "a labeler")
    if is_reserved(name):
        raise MayNotSpeak(f"nobody may push labels as {name!r}")
    person = is_person(name)
    if person and not line.get("key"):
        raise MayNotSpeak(f"labels of {name!r} can be pushed only by a key that was made to speak for that person")
    return name, "person" if person and line.get("labeler_kind") != "program" else "program"


def _plain(name: str) -> str:
    """Normalize a name for comparison: one form of each letter, no case, no invisible characters."""
    seen = "".join(c for c in unicodedata.normalize("NFKC", name) if unicodedata.category(c)[0] != "C")
    return " ".join(unicodedata.normalize("NFKC", seen.casefold()).split())
