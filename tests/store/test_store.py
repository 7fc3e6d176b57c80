"""Tables behave as a dictionary that only ever sees whole writes, whoever writes and however they are interrupted."""

import multiprocessing
import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import lance
import numpy as np
import pyarrow as pa
import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from ml_assets.features.embeddings import as_rows
from ml_assets.labeling import media
from ml_assets.orchestration.resources import Workspace
from ml_assets.spool import inbox
from ml_assets.state.lock import project_lock
from ml_assets.state.names import UnknownProject
from ml_assets.store import ProjectStore, Table, TableDamaged, UnknownTable, projects, quote
from ml_assets.store import table as tables
from ml_assets.store.schemas import SCHEMAS, rows

TEXT = st.text(st.characters(codec="utf-8"), max_size=6)
KEYS = st.sampled_from(["a", "b", "c", "it's", "\\", "%_", "é\u2028", "\n", "x--", "🙂"])
NAN = float("nan")
SCHEMA = SCHEMAS["annotations"]
ROWS = st.lists(
    st.fixed_dictionaries(
        {
            "id": KEYS,
            "value": st.none() | st.sampled_from(["None", "nan", ""]) | TEXT,
            "lead_seconds": st.none() | st.sampled_from([0.0, 1.5, NAN, 2.0**60]),
            "deleted": st.none() | st.booleans(),
            "sample_id": st.none() | TEXT,
        }
    ),
    max_size=6,
)
WRITES = st.lists(st.tuples(st.sampled_from(["upsert", "insert", "delete"]), ROWS), max_size=6)
MANY = settings(max_examples=40, suppress_health_check=[HealthCheck.function_scoped_fixture])


@pytest.fixture
def store(tmp_path: Path) -> ProjectStore:
    return ProjectStore("reviews", tmp_path)


def fresh(tmp_path: Path, name: str = "annotations") -> Table:
    """An empty table, for each example of a property a new one."""
    number = sum(1 for _ in tmp_path.iterdir()) if tmp_path.exists() else 0
    (tmp_path / str(number)).mkdir()
    return ProjectStore("reviews", tmp_path / str(number)).table(name)


def version(table: Table) -> int:
    return int(lance.dataset(table.uri).version) if table.exists() else 0


def content(table: Table) -> dict[str, Any]:
    """Rows by key; NaN as a word, because it differs from itself."""
    found = {row["id"]: plain(row) for row in table.read().to_pylist()}
    assert len(found) == table.count(), "a key stands twice"
    return found


def plain(row: dict[str, Any]) -> dict[str, Any]:
    full = {name: row.get(name) for name in SCHEMA.names}
    return {k: "NaN" if isinstance(v, float) and v != v else v for k, v in full.items()}


@MANY
@given(WRITES)
def test_a_table_is_a_dictionary(tmp_path: Path, writes: list[tuple[str, list[dict[str, Any]]]]) -> None:
    table, model = fresh(tmp_path), dict[str, Any]()
    for verb, batch in writes:
        before, stood = dict(model), version(table)
        new = {row["id"]: plain(row) for row in batch}  # the last of equal keys wins
        if verb == "delete":
            count = table.delete(f"id IN ({', '.join(map(quote, ['nobody', *new]))})")
            model = {k: v for k, v in model.items() if k not in new}
        elif verb == "insert":
            count = table.insert(rows("annotations", batch))
            model = new | model
        else:
            count = table.upsert(rows("annotations", batch))
            model |= new
        assert content(table) == model
        assert count == sum(before.get(k) != model.get(k) for k in before.keys() | model.keys())
        assert (version(table) == stood) == (model == before), "one commit for a change, none for no change"
    asked = [*reversed(list(model)), "nobody", *list(model)[:1]]
    assert [plain(row) for row in table.take(asked).to_pylist()] == [model[key] for key in asked if key in model]
    assert table.ids() == set(model)
    assert table.exists() == bool(version(table))


@MANY
@given(ROWS, ROWS)
@example([{"id": "a", "lead_seconds": NAN}], [{"id": "a", "lead_seconds": None}])
@example([{"id": "a", "value": "None"}], [{"id": "a", "value": None}])
def test_equal_content_and_only_equal_content_has_the_same_digest(
    tmp_path: Path, first: list[dict[str, Any]], second: list[dict[str, Any]]
) -> None:
    a, b = fresh(tmp_path), fresh(tmp_path)
    a.upsert(rows("annotations", first))
    b.upsert(rows("annotations", second))
    assert (a.digest() == b.digest()) == (content(a) == content(b))
    for name in ("value", "lead_seconds", "deleted"):
        same = {k: v[name] for k, v in content(a).items()} == {k: v[name] for k, v in content(b).items()}
        assert (a.digest([name]) == b.digest([name])) == same


@MANY
@given(st.dictionaries(KEYS, TEXT, min_size=1), st.integers(1, 4), st.randoms())
def test_the_digest_does_not_know_how_the_rows_were_written(
    tmp_path: Path, values: dict[str, str], size: int, random: Any
) -> None:
    whole, parts = fresh(tmp_path), fresh(tmp_path)
    listed = [{"id": k, "value": v} for k, v in values.items()]
    whole.upsert(rows("annotations", listed))
    random.shuffle(listed)
    for start in range(0, len(listed), size):
        parts.insert(rows("annotations", [{"id": "gone", "value": "x"}, *listed[start : start + size]]))
    parts.delete("id = 'gone'")
    assert parts.digest() == whole.digest()
    assert parts.digest(["value"]) == whole.digest(["value"])
    assert whole.digest(where="id = 'no such key'") == fresh(tmp_path).digest()


def test_large_whole_numbers_beside_a_missing_one_keep_their_digits(tmp_path: Path) -> None:
    a, b = fresh(tmp_path, "label_tasks"), fresh(tmp_path, "label_tasks")
    for table, number in ((a, 2**53), (b, 2**53 + 1)):
        table.upsert(rows("label_tasks", [{"id": "x", "task_id": number}, {"id": "y"}]))
    assert a.digest() != b.digest()


def test_columns_that_are_ignored_are_no_difference(store: ProjectStore) -> None:
    table = store.table("label_tasks")
    table.upsert(rows("label_tasks", [{"id": "a", "task_id": 1, "reason": "first"}]))
    stood = version(table)
    assert table.upsert(rows("label_tasks", [{"id": "a", "task_id": 1, "reason": "other"}]), ignore=["reason"]) == 0
    assert version(table) == stood
    assert table.upsert(rows("label_tasks", [{"id": "a", "task_id": 2, "reason": "other"}]), ignore=["reason"]) == 1
    assert table.read(["reason"])["reason"].to_pylist() == ["other"]


def test_reading_before_the_first_write(store: ProjectStore) -> None:
    table = store.table("samples")
    assert (table.exists(), table.count(), table.ids(), table.tags(), table.fragments()) == (False, 0, set(), [], 0)
    assert table.read(["text", "id"]).column_names == ["text", "id"]
    assert table.take(["a"]).column_names == SCHEMAS["samples"].names
    assert list(table.batches()) == []
    assert table.delete("id = 'a'") == 0
    assert table.upsert(rows("samples", [])) == 0
    assert not table.exists()


def test_batches_are_the_table_in_pieces(store: ProjectStore) -> None:
    table = store.table("samples")
    table.insert(rows("samples", [{"id": f"{i:03}", "text": str(i)} for i in range(250)]))
    found = list(table.batches(["id"], "id >= '100'", size=64))
    assert max(batch.num_rows for batch in found) <= 64
    assert sorted(i for batch in found for i in batch["id"].to_pylist()) == [f"{i:03}" for i in range(100, 250)]


def test_vectors_are_compared_by_value(store: ProjectStore) -> None:
    table = store.embeddings("minilm", 3)
    vectors = np.arange(6, dtype=np.float32).reshape(2, 3)
    assert table.upsert(as_rows(["a", "b"], vectors)) == 2
    assert table.upsert(as_rows(["b", "a"], vectors[::-1])) == 0
    assert table.upsert(as_rows(["a", "b"], vectors + np.array([[0], [1]], np.float32))) == 1


def test_two_encoders_never_share_a_table(store: ProjectStore) -> None:
    names = ["models/small", "models-small", "models small", "minilm", "Minilm"]
    assert len({store.embeddings(name, 3).uri for name in names}) == len(names)


def test_rows_are_removed_by_their_keys_however_many(store: ProjectStore, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tables, "IDS", 3)
    table = store.table("dataset")
    table.insert(rows("dataset", [{"id": f"o'{n}", "split": "test" if n % 2 else "train"} for n in range(10)]))
    assert table.remove(f"o'{n}" for n in range(8)) == 8
    assert table.remove([]) == table.remove(["o'1", "none"]) == 0
    assert table.remove(["o'8", "o'9"], "split = 'test'") == 1
    assert table.ids() == {"o'8"}


def test_every_table_of_the_reference_can_be_opened_by_its_name(store: ProjectStore) -> None:
    with pytest.raises(UnknownTable, match="has no table 'embeddings/minilm': it has no embeddings yet"):
        store.table("embeddings/minilm")
    store.embeddings("minilm", 3).insert(as_rows(["a"], np.ones((1, 3), np.float32)))
    assert store.table("embeddings/minilm").read()["vector"].to_pylist() == [[1, 1, 1]]
    with pytest.raises(UnknownTable, match="'embeddings/other': it has embeddings/minilm"):
        store.table("embeddings/other")
    with pytest.raises(UnknownTable, match=r"unknown table 'pick': choose one of samples, .*; did you mean 'picks'"):
        store.table("pick")
    reference = Path(__file__).parents[2].joinpath("docs", "reference.md").read_text()
    listed = re.findall(r"^\| `([^`]+)` \|", reference.split("## Tables")[1].split("## Endpoint")[0], re.MULTILINE)
    assert listed == [*SCHEMAS, "embeddings/<encoder>"]
    for name in SCHEMAS:
        assert store.table(name).read().num_rows == 0


def test_names(store: ProjectStore, tmp_path: Path) -> None:
    store.table("samples").insert(rows("samples", [{"id": "a"}]))
    (tmp_path / "Not a project").mkdir()
    assert projects(tmp_path) == ["reviews"]
    assert projects(tmp_path / "nothing") == []
    with pytest.raises(UnknownProject, match=r"'\.\./x' is not a project's name: use a-z"):
        ProjectStore("../x", tmp_path)
    with pytest.raises(KeyError, match="unknown table 'sample': choose one of samples, rejects"):
        store.table("sample")
    with pytest.raises(KeyError, match="no version tagged 'v1': it has none"):
        store.table("samples").read(tag="v1")


def test_fragments_stay_few_however_often_is_written(store: ProjectStore) -> None:
    table, most = store.table("samples"), 0
    rounds = tables.MAX_FRAGMENTS + 15
    for number in range(rounds):
        table.upsert(rows("samples", [{"id": str(number), "text": str(number)}]))
        most = max(most, table.fragments())
    assert most == tables.MAX_FRAGMENTS
    assert table.fragments() < 20
    assert table.ids() == {str(number) for number in range(rounds)}


# ---- versions that are kept ----


def dataset(*ids: str) -> pa.Table:
    return rows("dataset", [{"id": i, "value": "x"} for i in ids])


@MANY
@given(st.lists(st.sets(st.sampled_from("abc")), max_size=6))
def test_every_tag_reads_for_ever_and_the_last_is_how_it_stands(tmp_path: Path, contents: list[set[str]]) -> None:
    table, kept = fresh(tmp_path, "dataset"), dict[str, set[str]]()
    now = None
    for ids in contents:
        tag = f"ds-{''.join(sorted(ids))}"
        stood = version(table)
        assert table.replace(dataset(*sorted(ids)), tag) == (tag != now)
        assert (version(table) == stood) == (tag == now)
        now, kept[tag] = tag, ids
        assert table.tags()[-1] == tag
        assert set(table.tags()) == set(kept)
        assert table.ids() == ids
        for old, content in kept.items():
            assert set(table.read(["id"], tag=old)["id"].to_pylist()) == content


def test_a_replacement_that_was_cut_short_before_its_tag_is_not_taken_for_the_old_one(
    store: ProjectStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    table = store.table("dataset")
    table.replace(dataset("a"), "ds-a")
    write = lance.write_dataset

    def die(*arguments: Any, **options: Any) -> None:
        write(*arguments, **options)
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(lance, "write_dataset", die)
        with pytest.raises(KeyboardInterrupt):
            table.replace(dataset("b"), "ds-b")
    table.replace(dataset("a"), "ds-a")
    assert table.ids() == {"a"}


# ---- several writers, and writers that die ----


def write_many(root: str, writer: str, rounds: int, begin: Any) -> None:
    """Each round into a table that does not exist yet: keys of its own and keys that the other one writes too."""
    for number in range(rounds):
        table = ProjectStore(f"round{number}", root).table("samples")
        begin.wait(60)
        for part in ("first", "second"):
            table.upsert(rows("samples", [{"id": f"{part}-{who}", "text": who} for who in (writer, "shared")]))


def write_until_compacted(root: str, writer: str, rounds: int, begin: Any) -> None:
    """Into one table, past the number of fragments at which both writers compact."""
    table = ProjectStore("reviews", root).table("samples")
    begin.wait(60)
    for number in range(rounds):
        table.upsert(rows("samples", [{"id": f"{number}", "text": writer}, {"id": f"{number}-{writer}"}]))


def run_two(target: Any, root: Path, rounds: int) -> None:
    context = multiprocessing.get_context("spawn")
    begin = context.Barrier(2)
    writers = [context.Process(target=target, args=(str(root), who, rounds, begin)) for who in ("a", "b")]
    for writer in writers:
        writer.start()
    for writer in writers:
        writer.join(120)
    assert [writer.exitcode for writer in writers] == [0, 0]


@pytest.mark.slow
def test_two_processes_that_write_at_once_lose_nothing_and_make_no_doubles(tmp_path: Path) -> None:
    """The first write of all is the hardest: a table that is made twice would keep the rows of one writer only."""
    run_two(write_many, tmp_path, rounds=25)
    expected = sorted(f"{part}-{who}" for part in ("first", "second") for who in ("a", "b", "shared"))
    found = [ProjectStore(f"round{n}", tmp_path).table("samples").read(["id"])["id"].to_pylist() for n in range(25)]
    assert [sorted(ids) for ids in found] == [expected] * 25


@pytest.mark.slow
def test_two_processes_compact_at_once(tmp_path: Path) -> None:
    run_two(write_until_compacted, tmp_path, rounds=70)
    table = ProjectStore("reviews", tmp_path).table("samples")
    assert sorted(table.read(["id"])["id"].to_pylist()) == sorted(f"{n}{end}" for n in range(70) for end in ("", "-a", "-b"))
    assert table.fragments() <= tables.MAX_FRAGMENTS + 2


WRITER = """
import sys
from ml_assets.store.schemas import rows
from ml_assets.store import ProjectStore
table = ProjectStore("reviews", sys.argv[1]).table("samples")
for number in range(100_000):
    batch = [{"id": f"{number:06}-{i}", "text": str(number)} for i in range(3)]
    table.upsert(rows("samples", [*batch, {"id": "newest", "text": str(number)}]))
    print(number, flush=True)
"""


@pytest.mark.slow
@pytest.mark.parametrize("after", [1, 12, 58])
def test_a_writer_that_is_killed_leaves_whole_writes_only(store: ProjectStore, tmp_path: Path, after: int) -> None:
    writer = subprocess.Popen([sys.executable, "-c", WRITER, str(tmp_path)], stdout=subprocess.PIPE, text=True)
    assert writer.stdout is not None
    for line in writer.stdout:
        if int(line) == after:
            break
    time.sleep(0.0007 * after)  # somewhere within the next write
    os.kill(writer.pid, signal.SIGKILL)
    told = [after, *map(int, writer.stdout.read().split())][-1]
    writer.wait()

    table = store.table("samples")
    found = content_of_writer(table)
    newest = int(found.pop("newest"))
    assert newest in (told, told + 1), "what was told is there, and at most one write more"
    assert found == {f"{number:06}-{i}": str(number) for number in range(newest + 1) for i in range(3)}
    assert table.upsert(rows("samples", [{"id": "newest", "text": "the next writer"}])) == 1
    assert table.take(["newest"])["text"].to_pylist() == ["the next writer"]


def content_of_writer(table: Table) -> dict[str, str]:
    found = table.read(["id", "text"])
    assert found.num_rows == len(set(found["id"].to_pylist()))
    return dict(zip(found["id"].to_pylist(), found["text"].to_pylist(), strict=True))


def test_an_object_store_uri_works_as_a_folder_does(tmp_path: Path) -> None:
    """`file-object-store://` is Lance's own way to send a local folder through the code of object stores."""
    store = ProjectStore("reviews", f"file-object-store://{tmp_path}")
    table = store.table("dataset")
    assert not table.exists()
    assert table.upsert(dataset("a", "b")) == 2
    assert table.upsert(dataset("b")) == 0
    assert table.replace(dataset("c"), "ds-c")
    assert not table.replace(dataset("c"), "ds-c")
    assert (table.tags(), table.ids(), table.take(["c"]).num_rows) == (["ds-c"], {"c"}, 1)
    assert table.delete("id = 'c'") == 1
    assert table.read(["id"], tag="ds-c")["id"].to_pylist() == ["c"]
    assert (tmp_path / "reviews" / "dataset.lance").is_dir()


# ---- what is damaged ----


@pytest.mark.parametrize("kind", ["_versions/*.manifest", "data/*.lance"])
@pytest.mark.parametrize("how", ["empty", "half", "other", "zeros"])
def test_a_damaged_table_is_one_sentence_that_names_it(tmp_path: Path, kind: str, how: str) -> None:
    store = ProjectStore("reviews", tmp_path)
    table = store.table("samples")
    table.upsert(rows("samples", [{"id": str(i), "text": "a text"} for i in range(100)]))
    for path in Path(table.uri).glob(kind):
        content = path.read_bytes()
        changed = {"empty": b"", "half": content[: len(content) // 2], "other": b"other" * 100, "zeros": bytes(len(content))}
        path.write_bytes(changed[how])
    for use in (table.read, lambda: table.take(["7"]), lambda: table.count("text = 'x'"), lambda: list(table.batches())):
        with pytest.raises(TableDamaged) as caught:
            use()
        assert str(caught.value).startswith(f"the table {table.uri} is damaged (")
        assert str(caught.value).endswith("run the project again, which makes anew what can be made")
        assert "\n" not in str(caught.value)
        assert ".rs" not in str(caught.value)
    other = ProjectStore("other", tmp_path).table("samples")
    other.upsert(rows("samples", [{"id": "1"}]))
    assert other.count() == 1


# ---- names ----

STRANGE = [
    "../../out/x",
    "..",
    ".",
    "",
    "a/b",
    "/etc",
    "A",
    "a b",
    "a\x00",
    "a\n",
    "x" * 41,
    "1a",
    "a.b",
    "\ud800",
    "a\\b",
    "c:",
]


@pytest.mark.parametrize("name", STRANGE)
@pytest.mark.parametrize(
    "use",
    [
        ProjectStore, project_lock, lambda name: inbox.folder(name, "samples"), media.folder,
        lambda name: inbox.write(name, "samples", [{"content": "a"}]), lambda name: Workspace().folder("inference", name),
    ],
    ids=["store", "lock", "inbox", "media", "push", "folder"],
)  # fmt: skip
def test_a_name_that_is_no_projects_makes_no_path(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str, use: Callable[[str], object]
) -> None:
    monkeypatch.setenv("ML_ASSETS_HOME", str(tmp_path / "deep" / "home"))
    with pytest.raises(UnknownProject) as caught:
        use(name)
    assert "\n" not in str(caught.value)
    assert list(tmp_path.iterdir()) == []
