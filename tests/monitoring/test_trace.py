import io
import json
import time
from datetime import timedelta
from pathlib import Path

import pytest
from rich.console import Console
from spool.lines import AT, days_ago, log, prediction, written

from ml_assets.commands.trace_tree import tree
from ml_assets.modalities import Text
from ml_assets.monitoring.trace import Trace, UnknownPrediction, trace
from ml_assets.store import ProjectStore
from ml_assets.store.schemas import rows

TRAIN = {
    "s1": ("The shuttle reached orbit and released a satellite.", "space"),
    "s2": ("The goalkeeper saved every shot in the third period.", "hockey"),
    "s3": ("NASA plans another mission to the moon.", "space"),
    "s4": ("A text with [bold] brackets about car engines.", "cars"),
}
ASKED = "A rocket was launched to the space station in orbit."


@pytest.fixture
def trained(store: ProjectStore) -> ProjectStore:
    """A dataset of four training samples and one test sample, a model of it, and three deployments of models."""
    encoder = Text().encoder("minilm")
    texts = {key: text for key, (text, _) in TRAIN.items()} | {"test": ASKED, "later": ASKED}
    vectors = encoder.encode(list(texts.values()))
    store.embeddings("minilm", encoder.dimensions).insert(
        rows_of_vectors(list(texts), vectors.tolist(), store.embeddings("minilm", encoder.dimensions).schema)
    )
    samples = [{"id": k, "text": t, "source": "files", "origin": f"train.csv#{k}"} for k, t in texts.items()]
    store.table("samples").insert(rows("samples", samples))
    members = [
        {"id": k, "value": label, "split": "train", "annotation_ids": json.dumps([f"{k}-ann", f"{k}-bob"])}
        for k, (_, label) in TRAIN.items()
    ]
    store.table("dataset").replace(
        rows("dataset", [*members, {"id": "test", "value": "space", "split": "test", "annotation_ids": "[]"}]), "ds-1"
    )
    # a later version of the dataset is not what this model was trained on
    store.table("dataset").replace(
        rows("dataset", [{"id": "later", "value": "x", "split": "train", "annotation_ids": "[]"}]), "ds-2"
    )
    annotations = [
        {
            "id": f"{k}-{who}",
            "sample_id": k,
            "labeler": who,
            "labeler_kind": "person",
            "value": label,
            "created_at": days_ago(9),
        }
        for k, (_, label) in TRAIN.items()
        for who in ("ann", "bob")
    ]
    store.table("annotations").insert(rows("annotations", annotations))
    model = {"id": "reviews-1", "run_id": "run-7", "dataset": "ds-1", "feature_set": "fs-1", "encoder": "minilm",
             "weights": "abc", "code": "def", "at": days_ago(5)}  # fmt: skip
    store.table("models").insert(rows("models", [model]))
    served = [
        ("reviews-d1", "reviews-1", 4),
        ("reviews-d2", "reviews-2", 3),
        ("reviews-d3", "reviews-1", 2),
        ("reviews-d4", "reviews-1", -1),
    ]
    store.table("deployments").insert(
        rows("deployments", [{"id": d, "model": m, "bento": f"reviews:{d}", "live_at": days_ago(ago)} for d, m, ago in served])
    )
    return store


def rows_of_vectors(ids, vectors, schema):  # type: ignore[no-untyped-def]
    import pyarrow as pa

    return pa.table({"id": ids, "vector": vectors}, schema=schema.remove_metadata())


def shown(found: Trace) -> str:
    out = io.StringIO()
    Console(file=out, width=200).print(tree(found))
    return out.getvalue()


def test_from_the_answer_down_to_the_annotators(trained: ProjectStore, folder: Path) -> None:
    log(trained, [prediction("p1", ASKED)])
    found = trace(trained, "p1", folder, Text(), neighbours=2)
    assert found.prediction["scores"] == {"good": 0.9, "bad": pytest.approx(0.1)}
    assert (found.run_id, found.dataset, found.bento) == ("run-7", "ds-1", "reviews:reviews-d3")
    assert [n.sample_id for n in found.neighbours] == ["s1", "s3"], "nearest first; no test sample, no later dataset"
    first = found.neighbours[0]
    assert (first.label, first.text, first.source, first.origin) == ("space", TRAIN["s1"][0], "files", "train.csv#s1")
    assert 0.3 < found.neighbours[1].similarity < first.similarity < 1
    assert [(a.id, a.labeler, a.value) for a in first.annotations] == [("s1-ann", "ann", "space"), ("s1-bob", "bob", "space")]
    assert json.loads(json.dumps(found.as_json()))["neighbours"][0]["annotations"][0]["at"] == days_ago(9).isoformat()
    text = shown(found)
    for part in ("p1", "reviews-1", "run-7", "ds-1", "reviews:reviews-d3", "train.csv#s1", "bob (person)", "NASA plans"):
        assert part in text


def test_a_prediction_that_still_stands_in_a_segment(trained: ProjectStore, folder: Path) -> None:
    log(trained, [prediction("p1", ASKED)])
    (folder / f"00000000-1-{time.time_ns()}.jsonl").write_bytes(written([prediction("p2", ASKED)]))
    one, two = (trace(trained, key, folder, Text()) for key in ("p1", "p2"))
    assert len(two.neighbours) == 4
    assert "[bold] brackets" in shown(two), "what looks like markup is shown as it is"
    assert two.as_json() | {"prediction": None} == one.as_json() | {"prediction": None}
    assert two.prediction == one.prediction | {"id": "p2"}


def test_the_deployment_is_the_one_of_that_time(trained: ProjectStore, folder: Path) -> None:
    log(trained, [prediction(f"p{ago}", ASKED, at=days_ago(ago)) for ago in (5, 3, 0, -2)])
    named = {p: trace(trained, p, folder, Text(), 0).bento for p in ("p5", "p3", "p0", "p-2")}
    assert named == {f"p{a}": f"reviews:reviews-d{d}" for a, d in ((5, 1), (3, 1), (0, 3), (-2, 4))}


def test_what_is_not_known_is_said(store: ProjectStore, folder: Path) -> None:
    log(store, [prediction("p1", ASKED, at=AT + timedelta(days=1))])
    found = trace(store, "p1", folder, Text())
    assert (found.model, found.deployment, found.neighbours) == (None, None, [])
    assert "not in the table of models" in shown(found)
    with pytest.raises(UnknownPrediction, match="no prediction 'p2' in project 'reviews'"):
        trace(store, "p2", folder, Text())
