"""What the network that finds objects reads, learns and tells."""

import io
import json
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image as Picture

from ml_assets.modalities import Text
from ml_assets.tasks import Boxes
from ml_assets.training.architectures import Detector
from ml_assets.training.architectures.networks.detector import moved as move
from ml_assets.training.fit import Examples, fit, predict

ENCODER = Text().encoder("minilm")
"""It reads pictures itself: any will do."""
CLASSES = ("bright", "dark")
TASK = Boxes(classes=CLASSES)
SMALL = Detector(size=64, width=8, epochs=12, batch_size=8, learning_rate=1e-2)


def scenes(n: int, seed: int) -> tuple[list[bytes], list[str]]:
    """Pictures in which a stripe is redder or bluer than the ground, and where."""
    generator = np.random.default_rng(seed)
    items, values = [], []
    for i in range(n):
        pixels = generator.normal(128, 6, (64, 64, 3))
        (x, y), (width, height) = generator.integers(2, 30, 2), generator.integers(14, 30, 2)
        pixels[y : y + height, x : x + width, 0 if i % 2 else 2] += 100
        file = io.BytesIO()
        Picture.fromarray(pixels.clip(0, 255).astype(np.uint8)).save(file, "PNG")
        items.append(file.getvalue())
        box = {"label": CLASSES[i % 2], "x": x / 64, "y": y / 64, "width": width / 64, "height": height / 64}
        values.append(TASK.parse([box]))
    return items, values


def value_of(*boxes: tuple[str, float, float, float, float]) -> str:
    return TASK.parse([dict(zip(("label", "x", "y", "width", "height"), box, strict=True)) for box in boxes])


def perfect(targets: Any, cells: int) -> Any:
    """Logits of a network that knows the targets."""
    logits = np.full((len(targets), len(CLASSES) + 4, cells, cells), -8, np.float32)
    for row, boxes in zip(logits, targets, strict=True):
        for kind, x, y, width, height in boxes[boxes[:, 0] >= 0]:
            column, line = int(x * cells), int(y * cells)
            middle = np.array([column + 0.5, line + 0.5])
            low, high = np.array([x - width / 2, y - height / 2]) * cells, np.array([x + width / 2, y + height / 2]) * cells
            row[int(kind), line, column] = 8
            row[-4:, line, column] = np.log(np.concatenate([middle - low, high - middle]))
    return logits


def test_what_is_learnt_is_what_is_told() -> None:
    values = [value_of(("bright", 0.1, 0.2, 0.3, 0.25), ("dark", 0.5, 0.5, 0.5, 0.5)), "[]", value_of(("dark", 0, 0, 0.4, 0.9))]
    inputs = np.zeros((3, 3, 64, 64), np.uint8)
    targets = SMALL.targets(values, inputs, CLASSES, TASK)
    assert targets.shape == (3, 2, 5)
    logits = perfect(targets, 8)
    told = SMALL.predicted(logits, inputs, CLASSES, TASK)
    assert {metric.value for metric in TASK.metrics(values, told.labels, CLASSES, 0).values()} == {1.0}
    assert [len(json.loads(value)) for value in told.labels] == [2, 0, 1]
    assert told.scores.round(2).tolist() == [[1, 1], [0, 0], [0, 1]]
    assert told.confidence == pytest.approx([1, 1, 1], abs=1e-2), "that there is nothing is sure as well"
    right, wanted = torch.from_numpy(logits), torch.from_numpy(targets)
    assert SMALL.score(right, wanted, TASK).tolist() == [1, 1, 1]
    wrong = right.roll(1, 3)
    assert SMALL.score(wrong, wanted, TASK).tolist() == [0, 1, 0]
    assert SMALL.loss(right, wanted, TASK) < 0.5 < SMALL.loss(wrong, wanted, TASK)


def test_boxes_that_say_the_same_are_told_once() -> None:
    logits = perfect(SMALL.targets([value_of(("dark", 0.1, 0.1, 0.8, 0.8))], np.zeros(1), CLASSES, TASK), 8)
    logits[0, 1, 4, 7] = 4  # another peak, three cells to the right of the first, with the same box
    logits[0, -4:, 4, 7] = np.log([6.7, 3.7, 0.2, 2.7])
    assert len(json.loads(SMALL.predicted(logits, np.zeros(1), CLASSES, TASK).labels[0])) == 1


def test_where_an_answer_needs_a_box_the_surest_is_told() -> None:
    needed = Boxes(classes=CLASSES, empty=False)
    logits = perfect(SMALL.targets([value_of(("dark", 0.1, 0.1, 0.8, 0.8))], np.zeros(1), CLASSES, TASK), 8)
    logits[:, :2] -= 12  # a chance of 2 %
    assert SMALL.predicted(logits, np.zeros(1), CLASSES, TASK).labels == ["[]"]
    told = SMALL.predicted(logits, np.zeros(1), CLASSES, needed)
    [box] = json.loads(told.labels[0])
    assert (box["label"], box["confidence"]) == ("dark", pytest.approx(0.018, abs=1e-3))
    assert told.confidence.tolist() == pytest.approx([box["confidence"]], abs=1e-4)


def test_where_pictures_are_moved_their_boxes_move_along() -> None:
    torch.manual_seed(0)
    pictures = torch.full((200, 3, 64, 64), -1.0)
    pictures[:, :, 20:36, 30:54] = 1
    targets = torch.tensor([[[1, 42 / 64, 28 / 64, 24 / 64, 16 / 64], [-1] * 5]]).expand(200, 2, 5)
    moved, boxes = move(pictures, targets, 0.3)
    there = boxes[:, 0, 0] == 1
    assert 100 < there.sum() < 200, "some are out of sight"
    assert (boxes[:, 1] == -1).all()
    low, high = boxes[:, 0, 1:3] - boxes[:, 0, 3:] / 2, boxes[:, 0, 1:3] + boxes[:, 0, 3:] / 2
    for picture, first, last in zip(moved[there], low[there], high[there], strict=True):
        bright = (picture[0] > 0).nonzero()
        assert first.flip(0) * 64 == pytest.approx(bright.min(0).values, abs=1)
        assert last.flip(0) * 64 == pytest.approx(bright.max(0).values + 1, abs=1)
    assert boxes[there][:, 0, 3].std() > 0.05, "objects are of several sizes"


def test_pictures_that_are_not_moved_stay_where_they_are() -> None:
    pictures, targets = torch.rand(4, 1, 64, 32), torch.tensor([[[0, 0.5, 0.5, 0.2, 0.2], [-1] * 5]]).expand(4, 2, 5)
    moved, boxes = move(pictures, targets, 0)
    assert torch.allclose(moved, pictures, atol=1e-5)
    assert torch.allclose(boxes, targets)


def test_a_loss_without_any_object_is_finite() -> None:
    network = SMALL.network(ENCODER, 2)
    targets = torch.from_numpy(SMALL.targets(["[]", "[]"], np.zeros(2), CLASSES, TASK))
    loss = SMALL.loss(network(torch.zeros((2, 3, 64, 64), dtype=torch.uint8)), targets, TASK)
    loss.backward()
    assert torch.isfinite(loss)
    assert all(p.grad is not None and torch.isfinite(p.grad).all() for p in network.parameters())


def test_it_learns_to_find() -> None:
    items, values = scenes(160, 0)
    inputs = SMALL.inputs(items, ENCODER)
    assert (inputs.shape, inputs.dtype) == ((160, 3, 64, 64), np.uint8)
    one = TASK.relabel
    values = [one(value, dict.fromkeys(CLASSES, "bright")) or "" for value in values]
    network = fit(SMALL, ENCODER, Examples(inputs[:128], values[:128]), CLASSES, TASK, seed=0)
    told = predict(SMALL, network, inputs[128:], CLASSES, TASK)
    assert TASK.metrics(values[128:], told.labels, CLASSES, 0)["map_50"].value > 0.8
    assert all(TASK.parse(value) == value for value in told.labels)
