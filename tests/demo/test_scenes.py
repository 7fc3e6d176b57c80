"""What the example of scenes composes; the digits are drawn here, the real ones come when the demo runs."""

import io
import json
from collections import Counter
from collections.abc import Mapping
from dataclasses import replace
from itertools import combinations, pairwise
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image as Picture

from ml_assets.demo import scenes
from ml_assets.demo.annotators import EMAILS
from ml_assets.demo.digits import SIDE as WRITTEN
from ml_assets.demo.grounds import BRIGHTNESS, FAMILIES, ground
from ml_assets.demo.tables import Sample, write
from ml_assets.modalities import Image
from ml_assets.settings import load

FEW = 60
LEAST, GREATEST = 20 * scenes.SCALES[0], 20 * scenes.SCALES[1]
"""Pixels of the longer side of a digit's ink, of which the drawn ones have 20."""


def digits() -> tuple[NDArray[np.uint8], NDArray[np.int64]]:
    """As many upright frames as there are digits, 20 pixels high, of several widths and strengths, and what they stand for."""
    pictures = np.zeros((5000, WRITTEN, WRITTEN), np.uint8)
    for i, picture in enumerate(pictures):
        left = 4 + i % 8
        picture[4:24, left : WRITTEN - left] = 120 + i % 130
        picture[7:21, left + 3 : WRITTEN - left - 3] = 0
    return pictures, np.arange(5000) % 10


@pytest.fixture(scope="module")
def composed() -> dict[str, list[Sample]]:
    return {name: scenes.composed(few(name), *digits(), seed=0) for name in scenes.PARTS}


def few(name: str) -> scenes.Part:
    """The first scenes of a part."""
    return replace(scenes.PARTS[name], size=FEW)


def boxes_of(sample: Sample) -> list[tuple[int, int, int, int]]:
    """Left, top, width and height, pixels."""
    return [
        tuple(round(box[side] * scenes.SIDE) for side in ("x", "y", "width", "height"))  # type: ignore[misc]
        for box in json.loads(sample.label)
    ]


def test_each_scene_has_one_to_six_digits_of_every_size_within_it(composed: Mapping[str, list[Sample]]) -> None:
    for samples in composed.values():
        counts = Counter(len(boxes_of(sample)) for sample in samples)
        assert sorted(counts) == list(range(1, scenes.MOST + 1))
        boxes = np.array([box for sample in samples for box in boxes_of(sample)])
        assert (boxes[:, :2] >= 0).all()
        assert (boxes[:, :2] + boxes[:, 2:] <= scenes.SIDE).all()
        longer = boxes[:, 2:].max(1)
        assert LEAST - 2 <= longer.min() < LEAST + 3
        assert GREATEST - 3 < longer.max() <= GREATEST + 2


def test_boxes_cover_one_another_by_less_than_a_third(composed: Mapping[str, list[Sample]]) -> None:
    found = [
        scenes.covered(*pair)
        for samples in composed.values()
        for sample in samples
        for pair in combinations(boxes_of(sample), 2)
    ]
    assert 0.2 < max(found) <= scenes.OVERLAP


def test_how_much_boxes_cover() -> None:
    assert scenes.covered((0, 0, 10, 10), (8, 8, 4, 4)) == 0.25
    assert scenes.covered((2, 2, 4, 4), (0, 0, 10, 10)) == 1
    assert scenes.covered((0, 0, 4, 4), (4, 0, 4, 4)) == scenes.covered((0, 0, 4, 4), (9, 9, 2, 2)) == 0


def test_a_box_is_tight_around_the_ink() -> None:
    pictures, kinds = digits()
    alone = 0
    for i in range(60):
        sample = scenes.scene(pictures, kinds, ["gradient"], np.random.default_rng(i))
        if len(boxes := boxes_of(sample)) > 1:
            continue
        alone += 1
        [(left, top, width, height)] = boxes
        grey = np.asarray(Picture.open(io.BytesIO(sample.content)), np.float64) @ BRIGHTNESS / 255
        around = np.ones(grey.shape, bool)
        around[max(top - 1, 0) : top + height + 1, max(left - 1, 0) : left + width + 1] = False
        ends = np.array([grey[top : top + height, left], grey[top : top + height, left + width - 1]], dtype=object)
        lowest, highest = np.quantile(grey[around], (0.02, 0.98))
        for edge in (*ends, grey[top, left : left + width], grey[top + height - 1, left : left + width]):
            middle = np.median(np.asarray(edge, np.float64))
            assert middle < lowest or middle > highest, "ink reaches each of its edges"
    assert alone > 5


def test_the_test_asks_for_what_training_never_showed() -> None:
    train, test, later = (scenes.PARTS[name] for name in ("train", "test", "later"))
    assert not set(train.grounds) & set(test.grounds)
    assert later.grounds == test.grounds, "traffic is like what the model was tested on"
    assert set(train.grounds) | set(test.grounds) == set(FAMILIES)
    assert all(a.digits[1] <= b.digits[0] for a, b in pairwise((train, test, later)))


def test_digits_are_of_one_part_only(monkeypatch: pytest.MonkeyPatch) -> None:
    seen: dict[str, set[int]] = {}
    monkeypatch.setattr(scenes, "scene", lambda own, *rest: seen[name].update(own[:, 0, 0].tolist()) or Sample(b"", ""))
    numbered = np.arange(5000)[:, None, None]
    for name in scenes.PARTS:
        seen[name] = set()
        scenes.composed(few(name), numbered, np.zeros(5000, np.int64), seed=0)
    assert {name: len(found) for name, found in seen.items()} == {"train": 3000, "test": 1000, "later": 1000}
    assert len(set.union(*seen.values())) == 5000


def test_the_same_seed_gives_the_same_bytes_and_another_one_others(composed: Mapping[str, list[Sample]]) -> None:
    for name, samples in composed.items():
        assert scenes.composed(few(name), *digits(), seed=0) == samples
    other = scenes.composed(few("later"), *digits(), seed=1)
    assert not {s.content for s in other} & {s.content for s in composed["later"]}
    everything = [s.content for samples in composed.values() for s in samples]
    assert len(set(everything)) == len(everything)


@pytest.mark.parametrize("family", FAMILIES)
def test_a_ground_stays_between_its_brightnesses_and_no_two_are_alike(family: str) -> None:
    made = [ground(family, 64, np.random.default_rng(i)) for i in range(12)]
    for painted, low, high in made:
        assert painted.shape == (64, 64, 3)
        assert 0 <= low < high <= 1
        grey = painted @ BRIGHTNESS
        assert low - 0.12 < np.median(grey) < high + 0.12, "colours that are cut at 0 or 1 move it a little"
    assert len({painted.tobytes() for painted, _, _ in made}) == len(made)


def test_annotators_know_the_boxes_of_training_scenes(
    composed: Mapping[str, list[Sample]], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("ML_ASSETS_HOME", str(tmp_path))
    write(scenes.folder() / "train.parquet", composed["train"])
    known = scenes.Scenes().answers()
    assert set(known) == set(EMAILS)
    answers = [label for each in known.values() for label in each.values()]
    assert sorted(answers) == sorted(sample.label for sample in composed["train"])
    task = load("scenes").labeling.task
    assert all(task.parse(answer) == answer == task.from_label_studio(task.to_label_studio(answer)) for answer in answers)


def test_the_night_is_darker_and_less_sharp(
    composed: Mapping[str, list[Sample]], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("ML_ASSETS_HOME", str(tmp_path))
    write(scenes.folder() / "later.parquet", composed["later"])
    monkeypatch.setattr(scenes, "REQUESTS", FEW // 2)
    same, other = scenes.Scenes().waves(0)
    assert (same.strange, other.strange, len(same.requests), len(other.requests)) == (False, True, FEW // 2, FEW // 2)
    by_content = {sample.content: sample.label for sample in composed["later"]}
    assert all(json.loads(by_content[request.content]) == request.label for request in same.requests)  # type: ignore[index]
    before, after = (
        Image().describe([r.content for r in wave.requests]).to_pandas().mean(numeric_only=True) for wave in (same, other)
    )
    assert after.brightness < 0.5 * before.brightness
    assert after.sharpness < 0.2 * before.sharpness
    assert (after.width, after.height) == (before.width, before.height)
