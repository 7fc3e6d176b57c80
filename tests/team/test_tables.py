"""Tables and sources on an object store."""

import os
import re
import subprocess
import sys
from datetime import UTC, datetime

import pyarrow as pa
import pytest
from installation import free_port

from ml_assets.collection.sources.files import Files
from ml_assets.collection.sources.table import TableSource
from ml_assets.labeling.pull import Mark, _write_mark, read_mark
from ml_assets.store import ProjectStore, StoreUnavailable, projects
from ml_assets.store.schemas import rows

from .object_store import BUCKET, ObjectStore

AT = datetime(2026, 1, 1, tzinfo=UTC)
WRITER = """
import sys
from test_tables import samples
from ml_assets.store import ProjectStore
table = ProjectStore("shared").table("samples")
for turn in range(8):
    table.insert(samples(range(turn * 5, turn * 5 + 5)))  # the same new rows as all others
    table.insert(samples([int(sys.argv[1]) * 1000 + turn]))
"""


def samples(numbers: range | list[int]) -> pa.Table:
    row = {"source": "made", "split": "train", "split_by": "hash", "collected_at": AT}
    return rows("samples", [row | {"id": f"s{n:05}", "text": f"text {n}"} for n in numbers])


@pytest.fixture
def root(objects: ObjectStore, request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    """The root of the tables: a folder of the bucket that belongs to the test."""
    root = f"s3://{BUCKET}/{request.node.name.split('[')[0]}"
    for name, value in {**objects.environment, "AWS_ALLOW_HTTP": "true", "ML_ASSETS_STORE": root}.items():
        monkeypatch.setenv(name, value)
    return root


def test_tables_are_written_tagged_and_read_again(root: str, objects: ObjectStore) -> None:
    assert projects() == []
    store = ProjectStore("pets")
    table = store.table("samples")
    assert (table.exists(), table.upsert(samples(range(30))), table.upsert(samples(range(31)))) == (False, 30, 1)
    assert table.replace(samples(range(3)), tag="few")
    assert not table.replace(samples(range(3)), tag="few")
    table.upsert(samples([7]))
    assert (table.count(), table.read(tag="few").num_rows, table.tags()) == (4, 3, ["few"])
    assert table.delete("id = 's00007'") == 1
    with pytest.raises(KeyError, match="has no version tagged 'many': it has few"):
        table.read(tag="many")
    assert projects() == ["pets"]
    ProjectStore("birds").table("samples").upsert(samples([1]))
    assert projects() == ["birds", "pets"], "a listing is not remembered"


def test_the_mark_of_the_last_pull_lies_beside_the_tables(root: str, objects: ObjectStore) -> None:
    store = ProjectStore("pets")
    assert read_mark(store) is None
    for mark in (Mark("2026-01-31T12:00:00.000000Z"), Mark("2026-01-31T12:00:00.000000Z", "2026-02-01T12:00:00.000000Z", 3)):
        _write_mark(store, mark)
        assert read_mark(store) == mark
    assert objects.keys(root.removeprefix(f"s3://{BUCKET}/")) == [
        f"{root.removeprefix(f's3://{BUCKET}/')}/pets/label_studio.json"
    ]


def test_writers_at_once_lose_and_double_nothing(root: str) -> None:
    path = os.pathsep.join([os.path.dirname(__file__), os.path.dirname(os.path.dirname(__file__))])
    writers = [
        subprocess.Popen([sys.executable, "-c", WRITER.replace("from test_tables", "from team.test_tables"), str(number)],
                         env=os.environ | {"PYTHONPATH": path})
        for number in (1, 2, 3)
    ]  # fmt: skip
    assert [writer.wait(timeout=240) for writer in writers] == [0, 0, 0]
    table = ProjectStore("shared").table("samples")
    assert table.count() == len(table.ids()) == 8 * 5 + 3 * 8


@pytest.mark.parametrize("pattern", ["raw/*.csv", "raw", "raw/a.csv"])
def test_a_source_sees_what_changed_in_the_bucket(root: str, objects: ObjectStore, pattern: str) -> None:
    """A sensor asks in a process that lives for weeks."""
    folder = f"{root.removeprefix(f's3://{BUCKET}/')}/{pattern.replace('/', '_').replace('*', '')}"
    source = TableSource(name="x", path=f"s3://{BUCKET}/{folder}/{pattern}")
    objects.put(f"{folder}/raw/a.csv", "text\nfirst\n")
    [before] = source.files()
    assert [record.content for batch in source.read(before.uri) for record in batch] == ["first"]
    objects.put(f"{folder}/raw/a.csv", "text\nfirst\nsecond\n")
    objects.put(f"{folder}/raw/b.csv", "text\nthird\n")
    after = source.files()
    assert [file.uri for file in after] == [f"s3://{BUCKET}/{folder}/raw/{n}.csv" for n in "ab"][
        : 1 if "a.csv" in pattern else 2
    ]
    assert after[0].fingerprint != before.fingerprint
    assert [record.content for batch in source.read(after[0].uri) for record in batch] == ["first", "second"]


def test_files_take_their_label_from_the_folder(root: str, objects: ObjectStore) -> None:
    objects.put("pets/cat/1.txt", "meows")
    source = Files(name="x", path=f"s3://{BUCKET}/pets", label_from_folder=True)
    [[record]] = [batch for file in source.files() for batch in source.read(file.uri)]
    assert (record.content, record.label) == (b"meows", "cat")


def test_a_store_that_cannot_be_used_is_one_sentence(root: str) -> None:
    sentence = r"^the tables at s3://no-bucket\S* cannot be reached \(NoSuchBucket\): check ML_ASSETS_STORE, AWS_ENDPOINT_URL"
    with pytest.raises(StoreUnavailable, match=sentence):
        ProjectStore("pets", "s3://no-bucket").table("samples").count()
    with pytest.raises(StoreUnavailable, match=r"scheme: 'nonsense'\)"):
        ProjectStore("pets", "nonsense://x").table("samples").upsert(samples([1]))


@pytest.mark.parametrize(
    ("asked", "sentence"),
    [
        ("ProjectStore('pets').table('samples').count()", "the tables at s3://.* cannot be reached .HTTP error: error sending"),
        ("projects()", "the tables at s3://.* cannot be reached .Could not connect to the endpoint"),
        ("TableSource(name='x', path='s3://raw/*.csv').files()", r"s3://raw/\*\.csv cannot be listed: Could not connect"),
    ],
)
def test_an_object_store_that_does_not_answer_is_one_sentence(root: str, asked: str, sentence: str) -> None:
    code = (
        "from ml_assets.collection.sources.table import TableSource\n"
        "from ml_assets.store import ProjectStore, projects\n"
        f"try: {asked}\n"
        "except (OSError, ValueError) as error: print(error)"
    )
    variables = os.environ | {"AWS_ENDPOINT_URL": f"http://127.0.0.1:{free_port()}"}
    done = subprocess.run([sys.executable, "-c", code], env=variables, capture_output=True, text=True, timeout=120, check=False)
    assert re.fullmatch(f"{sentence}.*\n", done.stdout), done


def test_a_relative_path_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ML_ASSETS_STORE", "tables")
    with pytest.raises(ValueError, match=r"^ML_ASSETS_STORE='tables' is a relative path: give an absolute one, or a URI"):
        ProjectStore("pets")


def test_a_plain_http_address_needs_no_second_setting(objects: ObjectStore) -> None:
    code = "from ml_assets.store import ProjectStore; print(ProjectStore('pets').table('samples').count())"
    variables = {**os.environ, **objects.environment, "ML_ASSETS_STORE": f"s3://{BUCKET}/plain"}
    variables.pop("AWS_ALLOW_HTTP", None)
    done = subprocess.run([sys.executable, "-c", code], env=variables, capture_output=True, text=True, timeout=120, check=False)
    assert (done.stdout, done.returncode) == ("0\n", 0), done.stderr
