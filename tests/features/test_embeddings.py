"""One vector per sample and encoder, computed once, with the real encoder."""

from pathlib import Path

import numpy as np
import pytest

from ml_assets.features import embeddings
from ml_assets.features.checks import features_checks
from ml_assets.features.embeddings import embed_new, table_of, vectors_of
from ml_assets.features.settings import FeaturesSettings
from ml_assets.modalities import Mixed, Text
from ml_assets.modalities.encoders.text import TextEncoder
from ml_assets.orchestration.resources import Workspace
from ml_assets.state.digests import content_id
from ml_assets.store import ProjectStore
from ml_assets.store.schemas import rows
from ml_assets.tasks import SingleChoice

TEXT = Text()
ENCODER = TEXT.encoder("minilm")
TEXTS = ["a cat", "a dog", "the parliament voted on the budget", "🙂", "a cat sat on the mat " * 40]


def collect(store: ProjectStore, *texts: str) -> list[str]:
    listed = [{"id": content_id("text", text), "text": text} for text in texts]
    store.table("samples").upsert(rows("samples", listed))
    return [row["id"] for row in listed]


@pytest.mark.slow
def test_each_sample_is_embedded_once(store: ProjectStore, monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[str] = []
    encode = TextEncoder.encode
    monkeypatch.setattr(TextEncoder, "encode", lambda self, items: asked.extend(items) or encode(self, items))
    told: list[tuple[int, int]] = []
    ids = collect(store, *TEXTS)
    assert embed_new(store, TEXT, ENCODER, lambda *n: told.append(n)) == 5
    assert told == [(5, 5)]
    assert embed_new(store, TEXT, ENCODER, lambda *n: told.append(n)) == 0
    new = collect(store, "a horse")
    assert embed_new(store, TEXT, ENCODER, lambda *n: told.append(n)) == 1
    assert sorted(asked) == sorted([*TEXTS, "a horse"])
    found = vectors_of(table_of(store, ENCODER), [*new, *ids[::-1]])
    expected = encode(ENCODER, ["a horse", *TEXTS[::-1]])
    assert found.shape == (6, 384)
    assert ((found * expected).sum(1) > 0.999).all(), "in the order that was asked for"


def test_what_was_embedded_before_an_interruption_is_kept(store: ProjectStore, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(embeddings, "BATCH", 2)
    collect(store, *TEXTS)

    def stop(done: int, total: int) -> None:
        if done == 4:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        embed_new(store, TEXT, ENCODER, stop)
    assert table_of(store, ENCODER).count() == 4
    assert embed_new(store, TEXT, ENCODER, lambda *_: None) == 1


def test_a_missing_vector_is_said(store: ProjectStore) -> None:
    ids = collect(store, "a cat")
    with pytest.raises(LookupError, match="1 of 1 samples have no embedding yet: run the asset embeddings"):
        vectors_of(table_of(store, ENCODER), ids)
    assert vectors_of(table_of(store, ENCODER), []).size == 0


def test_alike_texts_have_alike_vectors() -> None:
    cat, dog, parliament = ENCODER.encode(TEXTS[:3])
    assert np.dot(cat, dog) > np.dot(cat, parliament) + 0.2


def test_the_check_counts_what_is_missing(store: ProjectStore) -> None:
    [check, *_] = features_checks("reviews", FeaturesSettings(), TEXT, SingleChoice(classes=("a", "b")))
    collect(store, "a cat", "a dog")
    assert check(workspace=Workspace()).metadata["samples without a vector"].value == {"minilm": 2}
    embed_new(store, TEXT, ENCODER, lambda *_: None)
    assert check(workspace=Workspace()).passed


def test_vectors_that_are_stored_are_whole_whatever_models_see(store: ProjectStore) -> None:
    mixed = Mixed(parts={"price": "number", "kind": "category"})
    items = [mixed.decode('{"price": 3, "kind": "lamp"}'), mixed.decode('{"price": 4}')]
    found = [{"id": mixed.sample_id(item), "text": item, "source": "made", "split": "train"} for item in items]
    store.table("samples").insert(rows("samples", found))
    whole, part = mixed.encoder("parts"), mixed.only(["price"]).encoder("parts")
    assert embed_new(store, mixed, part, lambda done, total: None) == 2
    ids = [str(row["id"]) for row in found]
    assert np.allclose(vectors_of(table_of(store, whole), ids), whole.encode(items), atol=1e-6)


LONG = " ".join(f"The members of committee {i} met and talked about the price of grain." for i in range(30))


def test_a_long_text_is_read_in_windows_and_a_short_one_is_not_changed_by_that() -> None:
    windows = TEXT.encoder("minilm*8")
    assert (windows.name, windows.distributions) == ("minilm*8", ENCODER.distributions)
    short = TEXTS[:3]
    assert np.allclose(windows.encode(short), ENCODER.encode(short), atol=0.02)
    ends = [f"{LONG} {end}" for end in ("The goalie saved the puck. " * 20, "The rocket reached the orbit of Mars. " * 20)]
    beginning, whole = ENCODER.encode(ends), windows.encode(ends)
    assert np.allclose(beginning[0], beginning[1], atol=0.02), "the ends are not read"
    assert whole[0] @ whole[1] < 0.95
    assert np.allclose(np.linalg.norm(whole, axis=1), 1, atol=1e-5)
    assert np.allclose(windows.encode([short[0], ends[0]])[1], whole[0], atol=0.02)


def test_the_share_of_a_text_that_is_not_read_is_told(store: ProjectStore) -> None:
    assert ENCODER.unread(["a cat", ""]).tolist() == [0, 0]
    [share] = ENCODER.unread([LONG])
    assert 0.6 < share < 0.9
    assert TEXT.encoder("minilm*8").unread([LONG])[0] < 0.1
    collect(store, *TEXTS, LONG)
    task = SingleChoice(classes=("a", "b"))
    collect(store, LONG * 12)
    for name, more in (("minilm", "minilm*8"), ("minilm*8", "minilm*16"), ("minilm*99", "")):
        checks = features_checks(store.project, FeaturesSettings(encoder=name), TEXT, task)
        [read_whole] = [check for check in checks if check.check_key.name == "read_whole"]
        found = read_whole(workspace=Workspace())
        assert found.passed == (not more)
        assert not more or f"name the encoder {more} to read" in found.description


def refuse(self: TextEncoder, items: list[str]) -> None:
    raise AssertionError(f"{len(items)} texts were embedded again")


def test_what_another_project_has_embedded_is_taken_from_there(store: ProjectStore, monkeypatch: pytest.MonkeyPatch) -> None:
    collect(store, *TEXTS)
    embed_new(store, TEXT, ENCODER, lambda *_: None)
    other = ProjectStore("mails", store.uri.rpartition("/")[0])
    ids = collect(other, *TEXTS[1:4])
    with monkeypatch.context() as patch:
        patch.setattr(TextEncoder, "encode", refuse)
        assert embed_new(other, TEXT, ENCODER, lambda *_: None) == 3
    assert table_of(other, ENCODER).ids() == set(ids), "nothing of the other project's own"
    assert np.array_equal(vectors_of(table_of(other, ENCODER), ids), vectors_of(table_of(store, ENCODER), ids))
    told: list[tuple[int, int]] = []
    new = collect(other, "a horse", "a cat")
    assert embed_new(other, TEXT, ENCODER, lambda *n: told.append(n)) == 2
    assert told == [(2, 2)]
    table_of(store, ENCODER).delete("true")
    assert table_of(other, ENCODER).ids() == {*ids, *new}, "what the other one deletes stays here"


def test_many_vectors_are_taken_over_in_parts(store: ProjectStore, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(embeddings, "TAKEN", 2)
    collect(store, *TEXTS)
    embed_new(store, TEXT, ENCODER, lambda *_: None)
    other = ProjectStore("mails", store.uri.rpartition("/")[0])
    ids = collect(other, *TEXTS[:3], "a horse")
    encoded: list[str] = []
    encode = TextEncoder.encode
    monkeypatch.setattr(TextEncoder, "encode", lambda self, items: encoded.extend(items) or encode(self, items))
    assert embed_new(other, TEXT, ENCODER, lambda *_: None) == 4
    assert encoded == ["a horse"]
    assert table_of(other, ENCODER).ids() == set(ids)


def test_vectors_of_another_encoder_or_of_a_damaged_table_are_not_taken(store: ProjectStore) -> None:
    root = store.uri.rpartition("/")[0]
    for name, dimensions in (("wide", 8), ("torn", 384)):
        other = ProjectStore(name, root)
        [one] = collect(other, "a cat")
        other.embeddings("minilm", dimensions).insert(embeddings.as_rows([one], np.ones((1, dimensions), np.float32)))
    for file in (Path(root) / "torn" / "embeddings" / "minilm.lance").rglob("*.lance"):
        file.write_bytes(b"\0" * 100)
    ids = collect(store, "a cat")
    assert embed_new(store, TEXT, ENCODER, lambda *_: None) == 1
    assert vectors_of(table_of(store, ENCODER), ids)[0] @ ENCODER.encode(["a cat"])[0] > 0.999


def test_names_that_do_not_say_all_of_the_vectors_are_not_shared(tmp_path: Path) -> None:
    assert ENCODER.lasting
    assert TEXT.encoder("minilm*8").lasting
    for name in (str(tmp_path), f"{tmp_path}*8"):
        assert not ENCODER.model_copy(update={"name": name}).lasting
    assert not Mixed(parts={"price": "number"}).encoder("parts").lasting


ENGLISH = ["The quick brown fox is a dog that I see.", "She said that U. S. A. is a name"]
FOREIGN = [
    "ผมอยู่ที่กรุงเทพมหานคร",
    "Привет, как дела сегодня?",
    "서울에서 왔다",
    "المدينة الكبيرة",
    "田中さんは東京タワーへ行ったー。",
]


def test_letters_that_an_encoder_does_not_know_are_told() -> None:
    assert ENCODER.unknown([*ENGLISH, "Ich wohne in der Straße", "", "12 !"]).tolist() == [0, 0, 0, 0, 0]
    assert ENCODER.unknown(FOREIGN).min() > 0.5
    assert ENCODER.unknown([]).tolist() == []


@pytest.mark.parametrize(
    ("texts", "passes"), [(ENGLISH, True), (FOREIGN, False), ([*ENGLISH * 4, FOREIGN[0]], True), ([], True)]
)
def test_a_language_that_an_encoder_does_not_know_is_a_warning(store: ProjectStore, texts: list[str], passes: bool) -> None:
    collect(store, *texts)
    checks = features_checks(store.project, FeaturesSettings(), TEXT, SingleChoice(classes=("a", "b")))
    [check] = [check for check in checks if check.check_key.name == "knows_the_language"]
    found = check(workspace=Workspace())
    assert (found.passed, found.severity.value) == (passes, "WARN")
    assert passes or "of the letters, such as those of" in found.description
