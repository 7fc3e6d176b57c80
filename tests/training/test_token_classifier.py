"""What the network that marks spans reads, learns and tells."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from ml_assets.modalities import Text
from ml_assets.tasks import Spans
from ml_assets.training import fit as fitting
from ml_assets.training.architectures import TokenClassifier
from ml_assets.training.fit import Examples, fit, logits, predict

ENCODER = Text().encoder("minilm")
CLASSES = ("city", "name")
TASK = Spans(classes=CLASSES)
NETWORK = TokenClassifier()
WITHOUT_LAYERS = TokenClassifier(layers=0, recurrent=32, epochs=6, batch_size=8, word_dropout=0.1)
AT_TWO_DEPTHS = TokenClassifier(layers=(0, 2), recurrent=16, members=2, epochs=6, batch_size=8)


def found_again(texts: list[str], values: list[str]) -> list[str]:
    """What a network would tell that has learnt the targets of these values by heart."""
    inputs = NETWORK.inputs(texts, ENCODER)
    targets = NETWORK.targets(values, inputs, CLASSES, TASK)
    logits = 20 * np.eye(2 * len(CLASSES) + 1, dtype=np.float32)[targets.clip(0)]
    return NETWORK.predicted(logits, inputs, CLASSES, TASK).labels


def marked(text: str, *parts: tuple[str, str]) -> str:
    spans: list[dict[str, Any]] = []
    for part, label in parts:
        start = text.index(part, spans[-1]["end"] if spans else 0)
        spans.append({"start": start, "end": start + len(part), "label": label})
    return TASK.parse(spans)


@pytest.mark.parametrize(
    ("text", "parts"),
    [
        ("Anna-Lena lives in San Francisco, California.", [("Anna-Lena", "name"), ("San Francisco", "city")]),
        ("Main, Anna", [("Main,", "city"), ("Anna", "name")]),
        ("Paris Lyon Metz", [("Paris", "city"), ("Lyon", "city"), ("Metz", "city")]),
        ("cafe\u0301 in Zu\u0308rich 😀 and Ærøskøbing", [("Zu\u0308rich", "city"), ("Ærøskøbing", "city")]),
        ("我住在北京市", [("北京", "city")]),
        ("昨日はヴェルディのゐなかさんと", [("ヴェルディ", "city"), ("ゐなか", "name")]),
        ("ผมอยู่ที่กรุงเทพกับสมชาย", [("กรุงเทพ", "city"), ("สมชาย", "name")]),
        ("ကိုအောင်သည်ရန်ကုန်မှာ", [("ကိုအောင်", "name"), ("ရန်ကုန်", "city")]),
        ("नमस्ते दुनिया दिल्ली", [("दुनिया", "name"), ("दिल्ली", "city")]),
        ("서울에서 김철수가", [("서울", "city"), ("김철수", "name")]),
        ("unbelievableness", [("unbelievableness", "name")]),
        ("nothing here", []),
    ],
)
def test_what_is_learnt_is_what_is_told(text: str, parts: list[tuple[str, str]]) -> None:
    value = marked(text, *parts)
    assert found_again([text, "shorter"], [value, "[]"]) == [value, "[]"]


WORDS = st.lists(st.tuples(st.sampled_from(["Anna", "x", "Österreich", "2nd", "Straßenverkehr", "e\u0301te\u0301"]),
                           st.sampled_from([None, *CLASSES])), min_size=1, max_size=12)  # fmt: skip


@given(WORDS, st.sampled_from([" ", ", ", "\n", " - "]))
def test_spans_of_whole_words_come_back(words: list[tuple[str, str | None]], between: str) -> None:
    text = between.join(word for word, _ in words)
    value = marked_in_order(words, between)
    assert found_again([text], [value]) == [value]


def marked_in_order(words: list[tuple[str, str | None]], between: str) -> str:
    place, spans = 0, []
    for word, label in words:
        if label:
            spans.append({"start": place, "end": place + len(word), "label": label})
        place += len(word) + len(between)
    return TASK.parse(spans)


def test_a_long_text_is_read_up_to_where_the_encoder_cuts_it() -> None:
    text = "word " * 300 + "Anna"
    assert found_again([text], [marked(text, ("Anna", "name"))]) == ["[]"]


def test_a_long_stretch_without_spaces_is_read_up_to_a_bound() -> None:
    text = "ก" * 5000
    first, last = ({"start": start, "end": start + 3, "label": "city"} for start in (700, 4000))
    assert found_again([text], [TASK.parse([first, last])]) == [TASK.parse([first])]
    assert NETWORK.inputs([text], ENCODER).shape[1] == 1024


def test_of_a_piece_that_is_cut_each_letter_has_the_vector_of_the_piece() -> None:
    texts = ["ผมอยู่ที่กรุงเทพ abc", "abc"]
    tagger = TokenClassifier(spelling=0, dropout=0).network(ENCODER, 2).eval()
    inputs = NETWORK.inputs(texts, ENCODER)[:, :, :4]
    found = logits(tagger, inputs)
    words = np.flatnonzero(inputs[0, :, 3])
    assert len(words) > 10
    assert np.allclose(found[0, words[0]], found[0, words[:-1]], atol=1e-5)
    assert not np.allclose(found[0, words[0]], found[0, words[-1]], atol=1e-3)
    alone = logits(tagger, NETWORK.inputs(texts[1:], ENCODER)[:, :, :4])
    assert np.allclose(found[1, : alone.shape[1]], alone[0], atol=2e-2), "what stands beside a text does not matter"


def test_where_a_span_is_needed_the_likeliest_word_is_told() -> None:
    needed = Spans(classes=CLASSES, empty=False)
    inputs = NETWORK.inputs(["nobody met Anna", "Anna met nobody"], ENCODER)
    outside = np.zeros((*inputs.shape[:2], 2 * len(CLASSES) + 1), np.float32)
    outside[:, :, 0] = 5
    outside[0, np.flatnonzero(inputs[0, :, 3])[2], 4] = 3  # goes on with a name that nothing begins
    outside[1, np.flatnonzero(inputs[1, :, 3])[0], 0] = 1
    outside[1, np.flatnonzero(inputs[1, :, 3])[0], 1] = 4
    told = NETWORK.predicted(outside, inputs, CLASSES, needed)
    assert told.labels == [marked("nobody met Anna", ("Anna", "name")), marked("Anna met nobody", ("Anna", "city"))]
    assert 0 < told.confidence[0] < 0.2 < told.confidence[1]
    assert NETWORK.predicted(outside, inputs, CLASSES, TASK).labels[0] == "[]"


def test_it_learns_to_mark() -> None:
    names, cities = ("anna", "bo", "clara", "dan"), ("paris", "oslo", "rome", "bern")
    generator = np.random.default_rng(0)
    texts, values = [], []
    for _ in range(160):
        name, city = generator.choice(names), generator.choice(cities)
        texts.append(f"{name} went to {city}." if generator.random() < 0.5 else f"In {city}, we saw {name}")
        values.append(marked(texts[-1], *sorted([(name, "name"), (city, "city")], key=lambda part: texts[-1].index(part[0]))))
    architecture = TokenClassifier(epochs=4, label_smoothing=0)
    inputs = architecture.inputs(texts, ENCODER)
    network = fit(architecture, ENCODER, Examples(inputs[:100], values[:100]), CLASSES, TASK, seed=0)
    told = predict(architecture, network, inputs[100:], CLASSES, TASK)
    assert TASK.metrics(values[100:], told.labels, CLASSES, 0, texts[100:])["entity_f1"].value > 0.95
    assert told.scores.shape == (60, 2)
    assert told.scores.min() > 0.5, "both classes occur in each text"
    assert ((told.confidence > 0) & (told.confidence <= 1)).all()
    alone = predict(architecture, network, architecture.inputs(texts[100:101], ENCODER), CLASSES, TASK)
    assert alone.labels == told.labels[:1], "what stands beside a text does not matter"
    assert {span["label"] for span in json.loads(alone.labels[0])} == set(CLASSES)


def test_case_is_read_though_the_word_pieces_have_none() -> None:
    texts = ["anna rose", "Anna rose", "anna ROSE"] * 30
    values = ["[]", marked("Anna", ("Anna", "name")), marked("anna ROSE", ("ROSE", "name"))] * 30
    inputs = WITHOUT_LAYERS.inputs(texts, ENCODER)
    assert (inputs[0, :, :1] == inputs[1, :, :1]).all()
    assert (inputs[0] != inputs[1]).any()
    network = fit(WITHOUT_LAYERS, ENCODER, Examples(inputs, values), CLASSES, TASK, seed=0)
    assert predict(WITHOUT_LAYERS, network, inputs[:3], CLASSES, TASK).labels == values[:3]


def test_readers_at_several_depths_are_asked_together() -> None:
    texts = ["Anna went", "to Oslo", "with Bo Dan"] * 30
    values = [marked("Anna", ("Anna", "name")), marked("to Oslo", ("Oslo", "city")), marked("with Bo", ("Bo", "name"))] * 30
    inputs = AT_TWO_DEPTHS.inputs(texts, ENCODER)
    network = fit(AT_TWO_DEPTHS, ENCODER, Examples(inputs, values), CLASSES, TASK, seed=0)
    assert predict(AT_TWO_DEPTHS, network, inputs[:3], CLASSES, TASK).labels == values[:3]
    tagger = AT_TWO_DEPTHS.network(ENCODER, 2).train()
    assert len(tagger.get_submodule("transformer.encoder.layer")) == 2
    each = tagger(torch.from_numpy(inputs[:3]))
    assert each.shape == (3, inputs.shape[1], 4, 5)
    together = logits(tagger.eval(), inputs[:3])
    assert together.shape == (3, inputs.shape[1], 5)


def test_of_a_long_word_both_ends_are_read() -> None:
    first, second, third = NETWORK.inputs([f"{a}{'b' * 30}{c}" for a, c in ("ax", "cx", "ay")], ENCODER)
    assert (first[:, 4:] != second[:, 4:]).any()
    assert (first[:, 4:] != third[:, 4:]).any()


def test_a_killed_training_of_the_recurrent_network_ends_the_same(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(fitting, "CHECKPOINT_SECONDS", 0.0)
    texts = ["Anna went", "to Oslo", "with Bo Dan"] * 8
    values = [marked("Anna", ("Anna", "name")), marked("to Oslo", ("Oslo", "city")), marked("with Bo", ("Bo", "name"))] * 8
    data = Examples(WITHOUT_LAYERS.inputs(texts, ENCODER), values)

    def die(epoch: int, _: Any) -> None:
        if epoch == 2:
            raise RuntimeError("killed")

    def fitted(**more: Any) -> Any:
        return logits(fit(WITHOUT_LAYERS, ENCODER, data, CLASSES, TASK, 0, **more), data.inputs)

    with pytest.raises(RuntimeError, match="killed"):
        fitted(on_epoch=die, checkpoint=tmp_path / "x.ckpt")
    assert np.array_equal(fitted(checkpoint=tmp_path / "x.ckpt"), fitted())


def test_more_layers_than_the_encoder_has_are_refused() -> None:
    with pytest.raises(ValueError, match="cannot take the first 7 layers of the encoder: it has 6"):
        TokenClassifier(layers=7).network(ENCODER, 2)
    with pytest.raises(ValueError, match="cannot take the first 7 layers of the encoder: it has 6"):
        TokenClassifier(layers=(0, 7)).network(ENCODER, 2)
    with pytest.raises(ValueError, match="at least 1 item"):
        TokenClassifier(layers=())
