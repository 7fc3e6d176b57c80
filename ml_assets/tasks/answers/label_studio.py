"""Builds Label Studio configurations with a control named `label`, and reads and writes its regions."""

import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any
from xml.sax.saxutils import quoteattr

from ml_assets.tasks.answers.lists import as_class, refused, shown

DOLLAR = re.compile(r"\$(?=\w)")
PLAIN_DOLLAR = "$\u200b"
"""A dollar sign that Label Studio does not take for the start of a variable: a zero-width space follows it."""


def page(question: str, *elements: str) -> str:
    """The Label Studio configuration (XML) of a page with the question and these elements below it."""
    lines = (f"  {element}\n" for element in (f"<Header value={quoteattr(question)}/>", *elements))
    return f"<View>\n{''.join(lines)}</View>"


def control(tag: str, option: str, classes: Sequence[str], attributes: str = "") -> str:
    """The Label Studio control (XML) `label` with an option for each class, and hotkeys for the first nine."""
    options = "".join(
        f"    <{option} value={quoteattr(to_editor(name))}{f' hotkey={quoteattr(str(i))}' if i < 10 else ''}/>\n"
        for i, name in enumerate(classes, 1)
    )
    return f'<{tag} name="label" toName="content"{attributes}>\n{options}  </{tag}>'


def region(kind: str, value: Mapping[str, Any]) -> dict[str, Any]:
    """A Label Studio region of this kind, for the control `label`."""
    return {"from_name": "label", "to_name": "content", "type": kind, "value": value}


def regions(result: Sequence[Any], classes: Sequence[str]) -> Iterator[tuple[Mapping[str, Any], Mapping[str, Any]]]:
    """Yield each region of the control `label` with its value. Raises `InvalidLabel` if a region has none."""
    for found in result:
        if not isinstance(found, Mapping):
            raise refused(f"not a region: {shown(found)}", classes)
        if found.get("from_name") == "label":
            value = found.get("value")
            if not isinstance(value, Mapping):
                raise refused("a region without a value", classes)
            yield found, value


def only_class(names: Any, classes: Sequence[str]) -> str:
    """The class of a region that must have exactly one. Raises `InvalidLabel`."""
    if not isinstance(names, list) or len(names) != 1:
        raise refused(f"{len(names) if isinstance(names, list) else 0} classes of a region where one is needed", classes)
    return as_class(from_editor(names[0]), classes)


def to_editor(name: str) -> str:
    """The name for Label Studio's editor, which would replace `$word` by a field of the task."""
    return DOLLAR.sub(PLAIN_DOLLAR, name)


def from_editor(name: Any) -> Any:
    """The name before `to_editor` changed it; values other than text are returned as they are."""
    return name.replace(PLAIN_DOLLAR, "$") if isinstance(name, str) else name
