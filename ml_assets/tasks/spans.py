"""The label task `spans`: stretches of a text, each with a class, such as names in a sentence."""

import html
import json
from collections import Counter
from collections.abc import Mapping, Sequence
from itertools import pairwise
from typing import TYPE_CHECKING, Any, ClassVar, Literal

from pydantic import Field
from typing_extensions import TypedDict

from ml_assets.tasks.answers.label_studio import control, only_class, page, region, regions, to_editor
from ml_assets.tasks.answers.lists import as_class, as_list, as_value, in_order, refused, shown
from ml_assets.tasks.base import Consensus, Task
from ml_assets.tasks.metrics.agreement import agreement
from ml_assets.tasks.metrics.shares import Share, Tally, f1
from ml_assets.texts.words import words

if TYPE_CHECKING:
    from ml_assets.texts.offsets import Offsets

FARTHEST = 10**9


class Spans(Task):
    """The annotator marks spans of the text, each with a class; spans do not overlap.

    The value is a JSON list of `{"start": 3, "end": 7, "label": "PER"}`, sorted. `start` is the first character and `end` the
    one behind the last. Characters are code points, as Python counts them and as Label Studio does: its editor lays a text out
    as `[...text]` and gives a line break one place.
    """

    name_in_yaml: ClassVar[str] = "spans"
    metric_names: ClassVar[tuple[str, ...]] = ("token_accuracy", "entity_f1")
    primary_metric: ClassVar[str] = "entity_f1"
    modalities: ClassVar[tuple[str, ...]] = ("text",)
    reads_items: ClassVar[bool] = True
    trial_metric: ClassVar[str] = "token_accuracy"

    classes: tuple[str, ...] = Field(min_length=1)
    """The classes, in the order in which annotators see them."""
    empty: bool = True
    """Whether a text without any span is a valid answer."""

    @property
    def may_be_empty(self) -> bool:
        """Whether an answer without spans is valid: the option `empty`."""
        return self.empty

    def label_config(self, content_tag: str, question: str) -> str:
        """A Label Studio page with one `Labels` block, and hotkeys for the first nine classes."""
        return page(question, control("Labels", "Label", self.classes), content_tag)

    def parse(self, answer: Any) -> str:
        """The spans of a list or of JSON text, sorted by start. Raises `InvalidLabel` if they overlap."""
        spans = sorted((self._span(entry) for entry in as_list(answer, self.classes)), key=lambda span: span["start"])
        for first, second in pairwise(spans):
            if second["start"] < first["end"]:
                both = f"{first['start']}-{first['end']} and {second['start']}-{second['end']}"
                raise refused(f"the spans {both} overlap", self.classes)
        if not spans and not self.empty:
            raise refused("at least one span is needed", self.classes)
        return as_value(spans)

    def placed(self, value: str, item: str, offsets: "Offsets") -> str:
        """The spans with positions in the item instead of the text as given. Raises `InvalidLabel` for one outside of it."""
        moved, given = [], offsets.to_given(len(item)) + offsets.tail
        for span in json.loads(value):
            start, end = offsets.to_item(span["start"]), min(offsets.to_item(span["end"]), len(item))
            where = f"the span {span['start']}-{span['end']}"
            if span["end"] > given:
                raise refused(f"{where} ends behind the text, which has {given} characters", self.classes)
            if start >= end:
                raise refused(f"{where} holds nothing but space at the text's edge", self.classes)
            moved.append(span | {"start": start, "end": end})
        return as_value(moved)

    def placed_back(self, value: str, offsets: "Offsets") -> str:
        """The spans with positions moved from the item to the text as given."""
        return as_value(
            [
                span | {"start": offsets.to_given(span["start"]), "end": offsets.to_given(span["end"] - 1) + 1}
                for span in json.loads(value)
            ]
        )

    def answer(self, value: str) -> list[dict[str, Any]]:
        """The value as a list of spans."""
        return list(json.loads(value))

    def from_label_studio(self, result: Sequence[dict[str, Any]]) -> str:
        """The spans of all regions of the control `label`."""
        return self.parse(
            [
                {"start": value.get("start"), "end": value.get("end"), "label": only_class(value.get("labels"), self.classes)}
                for _, value in regions(result, self.classes)
            ]
        )

    def to_label_studio(self, value: str) -> list[dict[str, Any]]:
        """One `labels` region per span."""
        return [
            region("labels", {"start": span["start"], "end": span["end"], "labels": [to_editor(span["label"])]})
            for span in self.answer(value)
        ]

    def classes_in(self, value: str) -> tuple[str, ...]:
        """The distinct classes of the spans, in the order of `classes`."""
        return in_order((span["label"] for span in json.loads(value)), self.classes)

    def summary(self, value: str) -> str:
        """The number of spans of each class, such as `2 PER`."""
        counts = Counter(span["label"] for span in json.loads(value))
        return ", ".join(f"{counts[name]} {name}" for name in in_order(counts, self.classes)) or "nothing"

    def similarity(self, first: str, second: str) -> float:
        """F1 of the exactly equal spans of two values."""
        a, b = _set(first), _set(second)
        return 2 * len(a & b) / (len(a) + len(b)) if a or b else 1.0

    def answer_type(self) -> Any:
        """A list of typed dictionaries, one per span."""
        return list[TypedDict("Span", {"start": int, "end": int, "label": Literal[self.classes]})]  # type: ignore[misc,operator]

    def relabel(self, value: str, names: Mapping[str, str]) -> str | None:
        """The spans with renamed classes, without those of other classes; None if no span is left and that is not allowed."""
        kept = [span | {"label": names[span["label"]]} for span in json.loads(value) if span["label"] in names]
        return as_value(kept) if kept or self.empty else None

    def consensus(self, values: Sequence[str]) -> Consensus:
        """The spans that more than half of the annotators marked with the same start, end and class.

        Of two spans that overlap only one can have that many. One that exactly half marked is a conflict, as are answers of
        which more than half mark something without any span in common. The agreement is the mean F1 of pairs of answers.
        """
        counts = Counter(span for value in values for span in _set(value))
        found = sorted(span for span, count in counts.items() if 2 * count > len(values))
        split = any(2 * count == len(values) for count in counts.values())
        marked = sum(value != "[]" for value in values)
        if split or (not found and (not self.empty or 2 * marked >= len(values))):
            return Consensus(None, agreement(values, self.similarity))
        joint = [{"start": start, "end": end, "label": label} for start, end, label in found]
        return Consensus(as_value(joint), agreement(values, self.similarity))

    def tally(self, target: str, predicted: str, classes: Sequence[str], item: str) -> Tally:
        """The sample's contribution to `token_accuracy` and `entity_f1`, both over all samples together.

        Tokens are words and punctuation marks as Unicode cuts them, and single characters in scripts without spaces; a token
        has the class of the span that covers its first character. An entity is found if start, end and class are exactly right
        (CoNLL 2003).
        """
        true, guess = _token_classes(item, target), _token_classes(item, predicted)
        right = sum(map(str.__eq__, true, guess))
        return {"token_accuracy": Share(right, len(true)), "entity_f1": f1(_set(target), _set(predicted))}

    def overlay(self, shown: str, item: Any, value: str, limit: int) -> str:
        """HTML of the text with its spans marked, cut at `limit` characters."""
        parts, place = [], 0
        for span in json.loads(value):
            if span["start"] >= min(limit, len(item)):
                break
            name = html.escape(span["label"])
            parts.append(html.escape(item[place : span["start"]]))
            place = min(span["end"], limit)
            text = html.escape(item[span["start"] : place])
            parts.append(f'<mark class="span" title="{name}">{text} <small>{name}</small></mark>')
        parts.append(html.escape(item[place:limit]) + (" …" if len(item) > limit else ""))
        return f'<div class="text">{"".join(parts)}</div>'

    def _span(self, entry: Any) -> dict[str, Any]:
        """Validate one entry of an answer and return the span. Raises `InvalidLabel`."""
        if not isinstance(entry, Mapping) or set(entry) != {"start", "end", "label"}:
            raise refused(f"{shown(entry)} is no span with start, end and label", self.classes)
        start, end = entry["start"], entry["end"]
        if type(start) is not int or type(end) is not int or not 0 <= start < end <= FARTHEST:
            where = f"{shown(start)} and {shown(end)}"
            raise refused(f"start and end must be whole numbers with 0 <= start < end, not {where}", self.classes)
        return {"start": start, "end": end, "label": as_class(entry["label"], self.classes)}


def _set(value: str) -> set[tuple[int, int, str]]:
    return {(span["start"], span["end"], span["label"]) for span in json.loads(value)}


def _token_classes(text: str, value: str) -> list[str]:
    """The class of each token of the text, by its first character; empty for tokens outside of spans."""
    spans, found, at = json.loads(value), [], 0
    for start, _ in words(text):
        while at < len(spans) and spans[at]["end"] <= start:
            at += 1
        covered = at < len(spans) and spans[at]["start"] <= start
        found.append(spans[at]["label"] if covered else "")  # no class has an empty name
    return found
