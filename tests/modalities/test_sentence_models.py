"""Texts are embedded by OpenVINO as they are by torch, and by torch where that does not work."""

import json
import logging
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from contracts.media import small_bert

from ml_assets.modalities import Text
from ml_assets.modalities.encoders import translation
from ml_assets.modalities.encoders.in_openvino import CONTENTS, InOpenVINO
from ml_assets.modalities.encoders.sentence_models import InTorch, sentence_model

TEXTS = ["the moon", "far", "is the moon far? " * 60, "Ünknown 日 9", "the"]


@pytest.fixture
def weights(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """The folder of a small model, in a cache of its own."""
    folder = tmp_path / "model"
    folder.mkdir()
    small_bert(folder)
    monkeypatch.setenv("ML_ASSETS_CACHE", str(tmp_path / "cache"))
    sentence_model.cache_clear()
    yield str(folder)
    sentence_model.cache_clear()


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A cache with that model translated, by a process of its own as always."""
    folder = tmp_path_factory.mktemp("model")
    small_bert(folder)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("ML_ASSETS_CACHE", str(tmp_path_factory.mktemp("cache")))
        found = translation.translated(str(folder))
    assert found is not None
    return found


@pytest.fixture
def translated(weights: str, made: Path, tmp_path: Path) -> str:
    """The same folder of a model, whose translation is in the cache."""
    shutil.copytree(made.parent, tmp_path / "cache" / "encoders")
    (tmp_path / "cache" / "encoders").chmod(0o700)
    return weights


def test_both_cut_texts_alike_and_give_the_same_vectors(translated: str) -> None:
    ours, theirs = sentence_model(translated, 128), InTorch(translated, 128)
    assert isinstance(ours, InOpenVINO)
    assert ours.about == theirs.about
    a, b = ours.vectors(TEXTS), theirs.vectors(TEXTS)
    assert a.shape == (len(TEXTS), 32)
    assert ((a * b).sum(1) / np.linalg.norm(a, axis=1) / np.linalg.norm(b, axis=1)).min() > 0.9999
    tokenizer = theirs.model.tokenizer
    given = tokenizer(TEXTS, truncation=True, max_length=128, return_offsets_mapping=True)
    assert [found.ids for found in ours.cut(TEXTS)] == given["input_ids"]
    assert [found.offsets for found in ours.cut(TEXTS)] == given["offset_mapping"]
    given = tokenizer(TEXTS, add_special_tokens=False, return_offsets_mapping=True, verbose=False)
    assert [found.ids for found in ours.whole(TEXTS)] == given["input_ids"]
    assert ours.marks == theirs.marks == 2


def test_a_text_has_the_same_vector_whatever_stands_beside_it() -> None:
    encoder, texts = Text().encoder("minilm"), [f"{'word ' * n}end" for n in (0, 3, 90, 17, 40, 1, 200)] * 3
    together = encoder.encode(texts)
    alone = np.concatenate([encoder.encode([text]) for text in texts])
    assert (together * alone).sum(1).min() > 0.999999


def test_neither_torch_nor_transformers_is_imported_to_embed() -> None:
    Text().encoder("minilm").encode(["translated by now"])
    code = (
        "import sys; from ml_assets.modalities import Text; Text().encoder('minilm').encode(['a text']); "
        "print([name for name in ('torch', 'transformers', 'sklearn', 'openvino_telemetry.main') if name in sys.modules])"
    )
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout == "[]\n"


def test_a_model_that_cannot_be_translated_is_embedded_with_by_torch_and_tried_once(
    weights: str, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    tried: list[object] = []

    def refuse(*given: object) -> str:
        tried.append(given)
        return "it holds an unknown layer"

    monkeypatch.setattr(translation, "_translate_apart", refuse)
    for _ in range(2):
        with caplog.at_level(logging.WARNING, "ml_assets.encoders"):
            assert isinstance(sentence_model(weights, 128), InTorch)
        sentence_model.cache_clear()
    assert len(tried) == 1
    assert [record.message for record in caplog.records if record.name == "ml_assets.encoders"] == [
        f"the encoder {weights} is embedded with by torch, because OpenVINO cannot: it holds an unknown layer"
    ]


def test_a_translation_that_gives_other_vectors_is_not_used(
    weights: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(InOpenVINO, "vectors", lambda _, texts: np.eye(len(texts), 32, dtype=np.float32))
    (tmp_path / "to").mkdir()
    with pytest.raises(ValueError, match=r"it gives other vectors: the lowest cosine is -?\d"):
        translation.translate(weights, tmp_path / "to")


def test_what_a_crash_left_and_what_was_damaged_is_made_anew(
    weights: str, made: Path, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    def whole(_: Path, target: Path) -> str:
        shutil.copytree(made, target)
        return ""

    def torn(_: Path, target: Path) -> str:
        target.mkdir(exist_ok=True)
        (target / CONTENTS).write_text(json.dumps({"about": [32, 1, 0], "files": {}}))
        (target / "tokenizer.json").write_text("{")
        return ""

    with monkeypatch.context() as patch, caplog.at_level(logging.WARNING, "ml_assets.encoders"):
        patch.setattr(translation, "_translate_apart", torn)
        assert isinstance(sentence_model(weights, 128), InTorch)
    assert "so that torch embeds" in caplog.text
    monkeypatch.setattr(translation, "_translate_apart", whole)
    sentence_model.cache_clear()
    with caplog.at_level(logging.WARNING, "ml_assets.encoders"):
        good = sentence_model(weights, 128)
        assert isinstance(good, InOpenVINO)
        (good.folder / "model.bin").write_bytes(b"")
        assert np.allclose(good.vectors(TEXTS), InTorch(weights, 128).vectors(TEXTS))
    assert caplog.text.count("so that torch embeds") == 2
    assert not good.folder.exists()
    sentence_model.cache_clear()
    assert isinstance(sentence_model(weights, 128), InOpenVINO)


def test_half_a_translation_is_removed_before_the_next(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def fill(command: list[str], **_: object) -> subprocess.CompletedProcess[str]:
        assert list(Path(command[-1]).iterdir()) == []
        (Path(command[-1]) / CONTENTS).write_text("{}")
        return subprocess.CompletedProcess(command, 0, stderr="")

    for left in ("a.part", "a"):
        (tmp_path / left).mkdir()
        (tmp_path / left / "model.xml").write_text("half")
    monkeypatch.setattr(translation.subprocess, "run", fill)
    assert translation._translate_apart(tmp_path, tmp_path / "a") == ""
    assert [path.name for path in (tmp_path / "a").iterdir()] == [CONTENTS]
    assert not (tmp_path / "a.part").exists()


def test_a_translation_that_cannot_be_compiled_just_now_is_kept(
    translated: str, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    def no_memory(_: InOpenVINO) -> None:
        raise RuntimeError("out of memory")

    model = sentence_model(translated, 128)
    assert isinstance(model, InOpenVINO)
    with monkeypatch.context() as patch, caplog.at_level(logging.WARNING, "ml_assets.encoders"):
        patch.setattr(InOpenVINO, "requests", property(no_memory))
        assert np.allclose(model.vectors(TEXTS), InTorch(translated, 128).vectors(TEXTS))
    assert "cannot be used (out of memory), so that torch embeds" in caplog.text
    assert (model.folder / CONTENTS).exists()
    assert InOpenVINO(model.folder, translated, 128).vectors(TEXTS).shape == (len(TEXTS), 32)


def test_a_model_whose_tokenizer_tells_no_places_is_refused_with_the_reason(
    weights: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(translation, "translated", lambda _: None)
    monkeypatch.setattr(type(InTorch(weights, 128).model.tokenizer), "is_fast", False)
    with pytest.raises(ValueError, match=r"cannot load the text encoder .* \(its tokenizer does not tell where"):
        Text().encoder(weights)


def test_a_process_that_has_cut_texts_may_fork() -> None:
    Text().encoder("minilm").encode(["translated by now"])
    code = """
import os, sys
from ml_assets.modalities import Text
encoder = Text().encoder("minilm")
encoder.pieces(["a text"])
if (child := os.fork()) == 0:
    print(encoder.encode(["a text"]).shape, flush=True)
    os._exit(0)
sys.exit(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]))
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False, timeout=60)
    assert (done.returncode, done.stdout) == (0, "(1, 384)\n"), done.stderr


def test_nothing_is_taken_from_a_cache_that_others_write_into(
    weights: str, caplog: pytest.LogCaptureFixture, tmp_path: Path
) -> None:
    (tmp_path / "cache" / "encoders").mkdir(parents=True)
    (tmp_path / "cache" / "encoders").chmod(0o777)
    with caplog.at_level(logging.WARNING, "ml_assets.encoders"):
        assert isinstance(sentence_model(weights, 128), InTorch)
    assert f"others may write into {tmp_path}/cache/encoders: set ML_ASSETS_CACHE to a folder of your own" in caplog.text


def test_without_a_cache_torch_embeds(weights: str, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ML_ASSETS_CACHE", f"{weights}/config.json/cache")
    with caplog.at_level(logging.WARNING, "ml_assets.encoders"):
        assert isinstance(sentence_model(weights, 128), InTorch)
    assert "nothing can be kept in the cache" in caplog.text
