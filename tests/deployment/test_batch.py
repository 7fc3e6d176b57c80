import csv
import json
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from ml_assets.collection.sources.base import SourceError
from ml_assets.deployment.batch import predict, predict_table, predict_unlabelled
from ml_assets.deployment.settings import BatchSettings
from ml_assets.deployment.table_file import TableFile
from ml_assets.features.embeddings import embed_new
from ml_assets.state.digests import content_id
from ml_assets.store import ProjectStore
from ml_assets.store.schemas import rows
from ml_assets.training.trained_model import TrainedModel

from .serving import CLASSES, make_model

AT = datetime(2026, 1, 2, tzinfo=UTC)
TEXTS = [f"{topic} number {n}" for n in range(4) for topic in ("Hockey", "Space", "Medicine")]
IDS = [content_id("text", text) for text in TEXTS]
ADDED = ["predicted_label", "predicted_confidence", "predicted_scores", "predicted_by", "problem"]


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> TrainedModel:
    return TrainedModel.load(make_model(tmp_path_factory.mktemp("model"), "letters-1", 5))


@pytest.fixture
def store(tmp_path: Path) -> ProjectStore:
    store = ProjectStore("letters", tmp_path / "store")
    store.table("samples").insert(rows("samples", [{"id": i, "text": t} for i, t in zip(IDS, TEXTS, strict=True)]))
    store.table("labels").insert(rows("labels", [{"id": IDS[0], "value": "hockey"}, {"id": IDS[1], "value": None}]))
    return store


def test_unlabelled_samples_are_predicted_and_labelled_ones_are_not(store: ProjectStore, model: TrainedModel) -> None:
    done = predict_unlabelled(store, model, AT)
    table = store.table("batch_predictions").read().to_pylist()
    assert {r["id"] for r in table} == set(IDS[1:])  # also the one whose annotations conflict
    assert (done.predicted, done.changed, done.skipped, sum(done.labels.values())) == (11, 11, 0, 11)
    expected = model.predict(TEXTS)
    for row in table:
        n = IDS.index(row["id"])
        assert (row["label"], row["model"], row["at"]) == (expected.labels[n], "letters-1", AT)
        assert row["confidence"] == pytest.approx(float(expected.confidence[n]), abs=1e-3)
        assert list(json.loads(row["scores"])) == list(CLASSES)


def test_again_changes_nothing_and_a_new_label_takes_its_sample_out(store: ProjectStore, model: TrainedModel) -> None:
    predict_unlabelled(store, model, AT)
    digest = store.table("batch_predictions").digest()
    assert predict_unlabelled(store, model, AT + timedelta(days=1)).changed == 0
    assert store.table("batch_predictions").digest() == digest
    store.table("labels").upsert(rows("labels", [{"id": IDS[1], "value": "space"}]))
    assert predict_unlabelled(store, model, AT).predicted == 10
    assert IDS[1] not in store.table("batch_predictions").ids()


def test_stored_embeddings_are_used(store: ProjectStore, model: TrainedModel, monkeypatch: pytest.MonkeyPatch) -> None:
    embed_new(store, model.modality, model.encoder, lambda *_: None)
    store.table("samples").insert(rows("samples", [{"id": content_id("text", "one more"), "text": "one more"}]))
    encoded: list[Any] = []
    encode = type(model.encoder).encode
    monkeypatch.setattr(type(model.encoder), "encode", lambda self, items: (encoded.extend(items), encode(self, items))[1])
    assert predict_unlabelled(store, model, AT).predicted == 12
    assert encoded == ["one more"]


@pytest.fixture(params=["csv", "tsv", "jsonl", "parquet"])
def table(request: pytest.FixtureRequest, tmp_path: Path) -> Path:
    """Four rows, the third without content."""
    path = tmp_path / f"input.{request.param}"
    values = [{"n": str(n), "body": "" if n == 2 else f'a "quoted", line\nand {n}', "label": "mine"} for n in range(4)]
    if request.param == "parquet":
        pq.write_table(pa.Table.from_pylist(values), path)
    elif request.param == "jsonl":
        path.write_text("".join(json.dumps(v) + "\n" for v in values))
    else:
        with path.open("w", newline="") as file:
            writer = csv.DictWriter(file, list(values[0]), delimiter="\t" if request.param == "tsv" else ",")
            writer.writeheader()
            writer.writerows(values)
    return path


def read(path: Path) -> list[dict[str, Any]]:
    if path.suffix == ".parquet":
        return pq.read_table(path).to_pylist()
    if path.suffix == ".jsonl":
        return [json.loads(line) for line in path.read_text().splitlines()]
    with path.open(newline="") as file:
        return list(csv.DictReader(file, delimiter="\t" if path.suffix == ".tsv" else ","))


@pytest.mark.parametrize("ending", ["csv", "parquet", "jsonl", "tsv"])
def test_a_table_with_its_predictions(
    table: Path, ending: str, store: ProjectStore, model: TrainedModel, tmp_path: Path
) -> None:
    output = tmp_path / "deep" / f"out.{ending}"
    settings = BatchSettings(input=str(table), content="body", output=str(output))
    done = predict(store, model, settings, AT)
    assert (done.predicted, done.skipped, done.output) == (3, 1, str(output))
    assert store.table("batch_predictions").count() == 3
    found = read(output)
    assert list(found[0]) == ["n", "body", "label", *ADDED]
    assert [(r["n"], r["label"], bool(r["predicted_label"]), r["problem"] or None) for r in found] == [
        ("0", "mine", True, None), ("1", "mine", True, None), ("2", "mine", False, "empty"), ("3", "mine", True, None),
    ]  # fmt: skip
    expected = model.predict([found[0]["body"]])
    assert found[0]["predicted_label"] == expected.labels[0]
    assert float(found[0]["predicted_confidence"]) == pytest.approx(float(expected.confidence[0]), abs=1e-3)
    assert json.loads(found[0]["predicted_scores"]).keys() == set(CLASSES)
    assert [p.name for p in output.parent.iterdir()] == [output.name]


def test_a_table_that_cannot_be_read_leaves_the_output_of_before(
    store: ProjectStore, model: TrainedModel, tmp_path: Path
) -> None:
    output, path = tmp_path / "out.csv", tmp_path / "in.csv"
    output.write_text("before")
    path.write_text("a,b\n1,2\n")
    with pytest.raises(SourceError, match="no column 'body'"):
        predict_table(store, model, str(path), "body", str(output), AT)
    assert output.read_text() == "before"
    assert sorted(p.name for p in tmp_path.iterdir() if p.is_file()) == ["in.csv", "out.csv"]


def test_the_table_comes_in_batches(
    store: ProjectStore, model: TrainedModel, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("ml_assets.deployment.batch.SIZE", 3)
    path, output = tmp_path / "in.jsonl", tmp_path / "out.parquet"
    path.write_text("".join(json.dumps({"body": text}) + "\n" for text in [*TEXTS, ""]))
    seen: list[int] = []
    done = predict_table(store, model, str(path), "body", str(output), AT, seen.append)
    assert seen == [3, 6, 9, 12, 13]
    assert (done.predicted, done.skipped) == (12, 1)
    assert [r["body"] for r in read(output)] == [*TEXTS, ""]


# ---- the types of the output ----


def written(path: Path, *batches: list[dict[str, Any]]) -> pa.Table:
    with TableFile(path, pa.schema([("problem", pa.string())])) as file:
        for batch in batches:
            file.add(batch)
    return pq.read_table(path)


@pytest.mark.parametrize(
    ("values", "type", "found"),
    [
        ([1, 2, 1.5], pa.float64(), [1.0, 2.0, 1.5]),
        ([None, None, "late"], pa.string(), [None, None, "late"]),
        ([None, 1, None], pa.int64(), [None, 1, None]),
        ([1, "one", True], pa.string(), ["1", "one", "true"]),
        ([{"a": 1}, [1], None], pa.string(), ['{"a": 1}', "[1]", None]),
        ([2**53 + 1, 0.5], pa.string(), [str(2**53 + 1), "0.5"]),
        ([2**70, 1], pa.string(), [str(2**70), "1"]),
        ([[1], [], [0.5]], pa.list_(pa.float64()), [[1.0], [], [0.5]]),
        ([None, None], pa.null(), [None, None]),
        ([float("nan"), 1], pa.float64(), None),
        (["b\udcffd", "x"], pa.string(), ["b?d", "x"]),
    ],
)
def test_a_column_has_the_type_that_holds_all_its_rows(
    tmp_path: Path, values: list[Any], type: pa.DataType, found: list[Any] | None
) -> None:
    """Whether they come in one batch or in one each, nothing is cut off and nothing ends the prediction."""
    for batches in ([[{"x": value} for value in values]], [[{"x": value}] for value in values]):
        table = written(tmp_path / "out.parquet", *batches)
        assert table.schema.field("x").type == type
        assert found is None or table["x"].to_pylist() == found


@pytest.mark.parametrize("ending", ["csv", "tsv", "parquet"])
def test_a_column_that_begins_late_is_a_column(tmp_path: Path, ending: str) -> None:
    with TableFile(tmp_path / f"out.{ending}", pa.schema([("problem", pa.string())])) as file:
        file.add([{"a": "1"}])
        file.add([{"a": "2", "late": "x"}])
    assert [(row["a"], row["late"] or None) for row in read(tmp_path / f"out.{ending}")] == [("1", None), ("2", "x")]
    assert [path.name for path in tmp_path.iterdir()] == [f"out.{ending}"]


def test_a_name_that_is_no_table() -> None:
    with pytest.raises(ValueError, match=r"'data.xlsx' is not a table: its name must end in one of .csv, .tsv"):
        BatchSettings(input="data.xlsx")
