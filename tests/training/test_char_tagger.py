"""What the network that reads characters alone learns and tells; its random field beside every sequence counted by hand."""

import itertools
import json
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from ml_assets.modalities import Text
from ml_assets.tasks import Spans
from ml_assets.training.architectures import CharTagger
from ml_assets.training.architectures.networks.crf import best_path, forbidden_steps, log_partition, marginals, score_of
from ml_assets.training.fit import Examples, fit, predict

ENCODER = Text().encoder("minilm")
CLASSES = ("city", "name")
TASK = Spans(classes=CLASSES)
QUICK = CharTagger(epochs=15, batch_size=8, width=32, size=16)
LABELS = 5


@given(st.integers(0, 1000), st.lists(st.integers(1, 4), min_size=1, max_size=3))
@settings(max_examples=20, deadline=None)
def test_the_random_field_agrees_with_all_sequences_counted(seed: int, lengths: list[int]) -> None:
    generator = torch.Generator().manual_seed(seed)
    emissions = torch.randn(len(lengths), max(lengths), LABELS, generator=generator)
    steps = torch.randn(LABELS + 1, LABELS, generator=generator) + forbidden_steps(LABELS)
    mask = torch.arange(max(lengths)).unsqueeze(0) < torch.tensor(lengths).unsqueeze(1)
    totals, paths, chances = (found(emissions, steps, mask) for found in (log_partition, best_path, marginals))
    for i, length in enumerate(lengths):
        every = list(itertools.product(range(LABELS), repeat=length))
        own = emissions[i : i + 1, :length].expand(len(every), -1, -1)
        scores = score_of(own, steps, mask[i : i + 1, :length], torch.tensor(every))
        assert torch.isclose(totals[i], scores.logsumexp(0), atol=1e-4)
        assert tuple(paths[i, :length].tolist()) == every[int(scores.argmax())]
        weights = scores.softmax(0)
        for place, label in itertools.product(range(length), range(LABELS)):
            by_hand = sum(w for w, path in zip(weights.tolist(), every, strict=True) if path[place] == label)
            assert chances[i, place, label].item() == pytest.approx(by_hand, abs=1e-4)


@given(st.integers(0, 1000))
@settings(max_examples=20, deadline=None)
def test_no_span_goes_on_that_has_not_begun(seed: int) -> None:
    emissions = 5 * torch.randn(1, 30, LABELS, generator=torch.Generator().manual_seed(seed))
    [path] = best_path(emissions, forbidden_steps(LABELS), torch.ones(1, 30, dtype=torch.bool)).tolist()
    assert all(label % 2 or not label or before in (label - 1, label) for before, label in itertools.pairwise([0, *path]))


def sentences(n: int, seed: int) -> tuple[list[str], list[str]]:
    """Thai-like text: syllables without spaces; a name stands behind one syllable, a city behind another."""
    generator = np.random.default_rng(seed)
    texts, values = [], []
    for _ in range(n):
        text, spans = "", list[dict[str, Any]]()
        for mark in generator.permutation(["คุณ", "ที่"]):
            text += "".join(generator.choice(["มา", "ไป", "กิน", "อยู่", "แล้ว"], generator.integers(1, 4))) + str(mark)
            part = "".join(generator.choice(["สม", "ชัย", "บุรี", "นคร", "ทอง"], generator.integers(1, 4)))
            label = "name" if mark == "คุณ" else "city"
            spans.append({"start": len(text), "end": len(text) + len(part), "label": label})
            text += part
        texts.append(text + "นะ")
        values.append(TASK.parse(spans))
    return texts, values


def test_it_finds_spans_in_text_without_spaces() -> None:
    (texts, values), (unseen, expected) = sentences(150, 0), sentences(60, 1)
    assert QUICK.unreachable(values, QUICK.inputs(texts, ENCODER)) == []
    network = fit(QUICK, ENCODER, Examples(QUICK.inputs(texts, ENCODER), values), CLASSES, TASK, seed=0)
    told = predict(QUICK, network, QUICK.inputs(unseen, ENCODER), CLASSES, TASK)
    assert TASK.metrics(expected, told.labels, CLASSES, 0, unseen)["entity_f1"].value > 0.9
    alone = predict(QUICK, network, QUICK.inputs(unseen[:1], ENCODER), CLASSES, TASK)
    assert alone.labels == told.labels[:1], "what stands beside a text does not matter"
    needed = Spans(classes=CLASSES, empty=False)
    answers = predict(QUICK, network, QUICK.inputs(["ก", "a b"], ENCODER), CLASSES, needed).labels
    assert all(json.loads(answer) for answer in answers)


def test_characters_that_training_never_showed_are_alike() -> None:
    texts, values = sentences(20, 0)
    quick = QUICK.model_copy(update={"epochs": 1})
    network = fit(quick, ENCODER, Examples(quick.inputs(texts, ENCODER), values), CLASSES, TASK, seed=0)
    one, other, shown = (f"คุณ{unknown}นะ" for unknown in ("漢", "鬱", "ม"))
    logits = network(torch.from_numpy(quick.inputs([one, other, shown], ENCODER)))
    assert torch.equal(logits[0], logits[1]), "their vectors were never learnt"
    assert not torch.equal(logits[0], logits[2])
    assert network.known.sum() > 50


def test_what_stands_behind_the_characters_that_are_read_is_told() -> None:
    short = CharTagger(longest=10)
    value = TASK.parse([{"start": 2, "end": 10, "label": "city"}, {"start": 10, "end": 12, "label": "name"}])
    inputs = short.inputs(["a" * 20], ENCODER)
    assert inputs.shape == (1, 10)
    [lost] = short.unreachable([value], inputs)
    assert (lost.span["start"], lost.unread) == (10, True)
    assert short.targets([value], inputs, CLASSES, TASK).tolist() == [[0, 0, 1, *[2] * 7]]
