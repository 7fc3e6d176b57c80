"""The label task `boxes`: objects in a picture, each with a bounding box and a class."""

import html
import json
import math
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any, ClassVar, Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import Field
from typing_extensions import TypedDict

from ml_assets.tasks.answers.label_studio import control, only_class, page, region, regions, to_editor
from ml_assets.tasks.answers.lists import as_class, as_list, as_value, in_order, refused, shown
from ml_assets.tasks.base import Consensus, Task
from ml_assets.tasks.metrics.agreement import agreement
from ml_assets.tasks.metrics.average_precision import Matched, average_precision, by_class, matched, overlap
from ml_assets.tasks.metrics.intervals import Figures

GRID = 100_000
"""Grid on which positions are rounded, as steps per side: 0.01 pixels in a picture 1000 pixels wide."""
ALIKE = 0.5
"""Minimum intersection over union of two boxes of a class that mean the same object."""
OVERHANG = 0.5
"""Maximum distance by which a box may exceed the picture, as a share of the picture; it is cut at the edges. Boxes beyond that
are probably in another unit and are refused.
"""
SIDES = ("x", "y", "width", "height")


class Boxes(Task):
    """The annotator draws upright bounding boxes around objects and gives each a class.

    The value is a JSON list of `{"label", "x", "y", "width", "height"}`, sorted: the top left corner and the size as shares of
    the picture's width and height, 0 to 1. Boxes of models have their `confidence` beside it. A box from outside may be in
    another unit, if the picture's size in it stands beside it: `"of": [640, 480]` for pixels, `"of": [100, 100]` for percent.
    """

    name_in_yaml: ClassVar[str] = "boxes"
    metric_names: ClassVar[tuple[str, ...]] = ("map_50", "map_50_95")
    primary_metric: ClassVar[str] = "map_50"
    modalities: ClassVar[tuple[str, ...]] = ("image",)
    draws: ClassVar[int] = 200
    trial_metric: ClassVar[str] = "recall_50"

    classes: tuple[str, ...] = Field(min_length=1)
    """The classes, in the order in which annotators see them."""
    empty: bool = True
    """Whether a picture without any object is a valid answer."""

    @property
    def may_be_empty(self) -> bool:
        """Whether an answer without boxes is valid: the option `empty`."""
        return self.empty

    def label_config(self, content_tag: str, question: str) -> str:
        """A Label Studio page with one `RectangleLabels` block without rotation, and hotkeys for the first nine classes."""
        boxes = control("RectangleLabels", "Label", self.classes, ' canRotate="false"')
        return page(question, boxes, content_tag)

    def parse(self, answer: Any) -> str:
        """The boxes of a list or JSON text, cut at the picture's edges, sorted, without duplicates. Raises `InvalidLabel`."""
        found = {as_value(box): box for box in (self._box(entry) for entry in as_list(answer, self.classes))}
        if not found and not self.empty:
            raise refused("at least one box is needed", self.classes)
        return as_value([found[text] for text in sorted(found)])

    def in_unit(self, answer: Any, unit: str, size: tuple[int, int] | None) -> Any:
        """The boxes, each with the picture's size in the unit added as `of`."""
        of = {"pixels": size, "percent": (100, 100), "shares": (1, 1)}[unit]
        return [{**box, "of": box.get("of", of)} if isinstance(box, Mapping) else box for box in as_list(answer, self.classes)]

    def answer(self, value: str) -> list[dict[str, Any]]:
        """The value as a list of boxes."""
        return list(json.loads(value))

    def from_label_studio(self, result: Sequence[dict[str, Any]]) -> str:
        """The boxes of all regions of the control `label`; Label Studio's percent become shares."""
        found = []
        for each, value in regions(result, self.classes):
            if value.get("rotation") or each.get("image_rotation"):
                raise refused("a box that is turned, or was drawn on a turned picture", self.classes)
            box: dict[str, Any] = {side: _number(value.get(side)) for side in SIDES}
            if None in box.values():
                raise refused(f"a region without a place: {shown({side: value.get(side) for side in SIDES})}", self.classes)
            box = {side: share / 100 for side, share in box.items()}
            box["label"] = only_class(value.get("rectanglelabels"), self.classes)
            if each.get("score") is not None:
                box["confidence"] = each["score"]
            found.append(box)
        return self.parse(found)

    def to_label_studio(self, value: str) -> list[dict[str, Any]]:
        """One `rectanglelabels` region per box, in percent; the picture's size in pixels is not needed."""
        return [
            region(
                "rectanglelabels",
                {side: 100 * box[side] for side in SIDES} | {"rotation": 0, "rectanglelabels": [to_editor(box["label"])]},
            )
            | ({"score": box["confidence"]} if "confidence" in box else {})
            for box in self.answer(value)
        ]

    def classes_in(self, value: str) -> tuple[str, ...]:
        """The distinct classes of the boxes, in the order of `classes`."""
        return in_order((box["label"] for box in json.loads(value)), self.classes)

    def summary(self, value: str) -> str:
        """The number of boxes of each class, such as `2 x car`."""
        counts = Counter(box["label"] for box in json.loads(value))
        return ", ".join(f"{counts[name]} x {name}" for name in in_order(counts, self.classes)) or "nothing"

    def similarity(self, first: str, second: str) -> float:
        """F1 of the boxes of two values, matched one to one by class and an intersection over union of at least `ALIKE`."""
        from scipy.optimize import linear_sum_assignment

        a, b = json.loads(first), json.loads(second)
        if not a or not b:
            return float(not a and not b)
        same = np.array([[one["label"] == other["label"] for other in b] for one in a])
        partners = (overlap(a, b) >= ALIKE) & same
        rows, columns = linear_sum_assignment(partners, maximize=True)
        return 2 * int(partners[rows, columns].sum()) / (len(a) + len(b))

    def answer_type(self) -> Any:
        """A list of typed dictionaries, one per box."""
        return list[TypedDict("Box", {"label": Literal[self.classes], **dict.fromkeys((*SIDES, "confidence"), float)})]  # type: ignore[misc,operator]

    def relabel(self, value: str, names: Mapping[str, str]) -> str | None:
        """The boxes with renamed classes, without those of other classes; None if no box is left and that is not allowed."""
        kept = [box | {"label": names[box["label"]]} for box in json.loads(value) if box["label"] in names]
        return as_value(sorted(kept, key=as_value)) if kept or self.empty else None

    def consensus(self, values: Sequence[str]) -> Consensus:
        """The objects boxed by more than half of the annotators, at the median of their boxes' edges.

        Boxes of a class mean the same object if their intersection over union is at least `ALIKE`; the most similar are joined
        first, with at most one box per annotator. An object boxed by exactly half is a conflict, as are answers of which more
        than half have boxes without any object in common. The agreement is the mean F1 of pairs of answers.
        """
        voices, counts = len(values), sorted(Counter(values).items())
        alike = agreement(values, self.similarity)
        if len(counts) == 1:
            return Consensus(values[0], alike)
        groups = _same_objects([value for value, _ in counts])
        votes = [sum(counts[i][1] for i, _ in group) for group in groups]
        joint = [
            _median([box for i, box in group for _ in range(counts[i][1])])
            for group, count in zip(groups, votes, strict=True)
            if 2 * count > voices
        ]
        seen = sum(count for value, count in counts if value != "[]")
        if any(2 * count == voices for count in votes) or (not joint and (not self.empty or 2 * seen >= voices)):
            return Consensus(None, alike)
        return Consensus(self.parse(joint), alike)

    def tally(self, target: str, predicted: str, classes: Sequence[str], item: Any) -> Matched:
        """The predicted boxes of one sample with their hits, and the number of target boxes."""
        return matched(target, predicted)

    def figures(self, tallies: Sequence[Matched], classes: Sequence[str]) -> Figures:
        """A function that computes `map_50` and `map_50_95` as COCO defines them (`metrics.average_precision`)."""
        found = by_class(tallies, classes)

        def figures(weights: NDArray[np.float64]) -> dict[str, NDArray[np.float64]]:
            precision = average_precision(found, weights)
            return {"map_50": precision[:, 0], "map_50_95": precision.mean(1)}

        return figures

    def overlay(self, shown: str, item: Any, value: str, limit: int) -> str:
        """HTML of the picture with its boxes drawn on top."""
        parts = []
        for box in json.loads(value):
            place = ";".join(
                f"{name}:{100 * box[side]:.3f}%" for name, side in zip(("left", "top", *SIDES[2:]), SIDES, strict=True)
            )
            name = html.escape(box["label"]) + (f" {box['confidence']:.2f}" if "confidence" in box else "")
            parts.append(f'<span class="box" style="position:absolute;box-sizing:border-box;{place}" title="{name}"></span>')
        return f'<div class="boxes" style="position:relative;display:inline-block;line-height:0">{shown}{"".join(parts)}</div>'

    def _box(self, entry: Any) -> dict[str, Any]:
        """Validate one entry of an answer and return the box. Raises `InvalidLabel`."""
        if not isinstance(entry, Mapping) or set(entry) - {"confidence", "of"} != {"label", *SIDES}:
            raise refused(f"{shown(entry)} is no box with label, x, y, width and height", self.classes)
        label = as_class(entry["label"], self.classes)
        x, y, width, height = (_number(entry[side]) for side in SIDES)
        if x is None or y is None or width is None or height is None:
            raise refused(f"{shown([entry[side] for side in SIDES])} is no box: it needs four finite numbers", self.classes)
        if "of" in entry:
            across, down = self._size(entry["of"])
            x, y, width, height = x / across, y / down, width / across, height / down
        if min(x, y) < -OVERHANG or max(width, height, x + width, y + height) > 1 + OVERHANG:
            raise refused(
                f"{shown([entry[side] for side in SIDES])} reaches far beyond the picture: places and sizes are shares of its "
                "width and height, from 0 to 1; of pixels say the picture's size beside them, as in "
                '"of": [640, 480], of percent "of": [100, 100]',
                self.classes,
            )
        (left, right), (top, bottom) = _edges(x, width), _edges(y, height)
        if right <= left or bottom <= top:
            raise refused(f"{shown([entry[side] for side in SIDES])} is empty within the picture", self.classes)
        box = {"label": label, **_placed(left, top, right, bottom)}
        if "confidence" in entry:
            confidence = _number(entry["confidence"])
            if confidence is None or not 0 <= confidence <= 1:
                raise refused(f"a confidence is a number from 0 to 1, not {shown(entry['confidence'])}", self.classes)
            box["confidence"] = round(confidence, 4)
        return box

    def _size(self, of: Any) -> tuple[float, float]:
        """Width and height of the picture in the box's own unit. Raises `InvalidLabel`."""
        size = [_number(side) for side in of] if isinstance(of, list | tuple) else []
        if len(size) != 2 or size[0] is None or size[1] is None or min(size[0], size[1]) <= 0:
            raise refused(f"{shown(of)} is no size: `of` is the picture's width and height in the box's unit", self.classes)
        return size[0], size[1]


def _number(number: Any) -> float | None:
    """The number as a float; None if it is not a finite number."""
    if isinstance(number, bool) or not isinstance(number, int | float):
        return None
    try:
        return float(number) if math.isfinite(number) else None
    except OverflowError:  # an integer too large for a float
        return None


def _edges(start: float, size: float) -> tuple[int, int]:
    """First and last edge on the grid, cut at the picture's edges.

    Start and size are rounded, not both edges, so that a box on the grid stays as it is.
    """
    near, far = max(start, 0.0), start + size
    if far > 1:
        return round(min(near, 1.0) * GRID), GRID
    if start < 0:
        return 0, round(max(far, 0.0) * GRID)
    return round(near * GRID), min(round(near * GRID) + round(max(size, 0.0) * GRID), GRID)


def _placed(left: int, top: int, right: int, bottom: int) -> dict[str, float]:
    """The position and size of a box, as shares, from its edges on the grid."""
    return {"x": left / GRID, "y": top / GRID, "width": (right - left) / GRID, "height": (bottom - top) / GRID}


def _median(boxes: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """The box at the median of each edge of the boxes."""
    edges = [[box["x"], box["y"], box["x"] + box["width"], box["y"] + box["height"]] for box in boxes]
    left, top, right, bottom = (round(float(edge) * GRID) for edge in np.median(edges, axis=0))
    return {"label": boxes[0]["label"], **_placed(left, top, max(right, left + 1), max(bottom, top + 1))}


def _same_objects(values: Sequence[str]) -> list[list[tuple[int, dict[str, Any]]]]:
    """The boxes of distinct answers, grouped by object, each with the index of its answer."""
    boxes = [(i, box) for i, value in enumerate(values) for box in json.loads(value)]
    found = overlap([box for _, box in boxes], [box for _, box in boxes])
    pairs = [
        (-found[a, b], a, b)
        for a, b in np.argwhere(np.triu(found >= ALIKE, 1)).tolist()
        if boxes[a][0] != boxes[b][0] and boxes[a][1]["label"] == boxes[b][1]["label"]
    ]
    groups = [{i} for i in range(len(boxes))]
    for _, a, b in sorted(pairs):
        if not {boxes[i][0] for i in groups[a]} & {boxes[i][0] for i in groups[b]}:
            joined = groups[a] | groups[b]
            for i in joined:
                groups[i] = joined
    return [[boxes[i] for i in sorted(group)] for first, group in enumerate(groups) if min(group) == first]
