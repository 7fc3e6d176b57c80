"""What every source says of the place that it reads."""

from pathlib import Path

import pytest

from ml_assets.collection.sources import SOURCES, BadRecord, Source, SourceError, Upload
from ml_assets.collection.sources.reading.places import path_here
from ml_assets.spool import inbox
from ml_assets.store.records import Record

EACH = pytest.mark.parametrize("name", [*SOURCES, Upload.name_in_yaml])


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("ML_ASSETS_HOME", str(tmp_path / "home"))
    return tmp_path / "home"


def filled(name: str, place: Path) -> Source:
    """A source with three files, each with two records or, where every file is one, with one."""
    place.mkdir(exist_ok=True)
    if name == "upload":
        for number in range(3):
            lines = [{"content": f"text {number}-{i}", "client": "shop", "received_at": "now"} for i in range(2)]
            inbox.write("reviews", "samples", lines)
        return Upload(project="reviews")
    for number in range(3):
        (place / f"{number}.csv").write_text(f"text\ntext {number}-0\ntext {number}-1\n")
    return SOURCES.parse({"type": name, "name": "first", "path": str(place)})


def origins(source: Source) -> list[str]:
    return [record.origin for file in source.files() for batch in source.read(file.uri) for record in batch]


@EACH
def test_what_it_lists_is_stable_and_each_origin_is_its_own(name: str, tmp_path: Path) -> None:
    source = filled(name, tmp_path / "data")
    files = source.files()
    assert len(files) == len({file.uri for file in files}) == 3
    assert source.files() == files
    assert source.model_copy().files() == files
    found = origins(source)
    assert len(found) == len(set(found)) >= 3
    assert origins(source) == found
    for file in files:
        assert all(
            record.origin in (file.uri, f"{file.uri}#{n}") for b in source.read(file.uri) for n, record in enumerate(b, 1)
        )


@EACH
def test_it_yields_records_of_its_own(name: str, tmp_path: Path) -> None:
    source = filled(name, tmp_path / "data").model_copy(update={"split": "test"})
    for file in source.files():
        for batch in source.read(file.uri):
            assert isinstance(batch, list)
            assert batch
            for record in batch:
                assert isinstance(record, Record | BadRecord)
                assert isinstance(record, BadRecord) or (record.split == "test" and record.content)


@EACH
def test_a_change_is_seen(name: str, tmp_path: Path) -> None:
    source = filled(name, tmp_path / "data")
    before = source.files()
    path = Path(str(path_here(before[1].uri)))
    path.write_bytes(path.read_bytes() * 2)
    after = source.files()
    assert [file.uri for file in after] == [file.uri for file in before]
    assert [a != b for a, b in zip(after, before, strict=True)] == [False, True, False]


@EACH
def test_what_is_gone_is_one_sentence(name: str, tmp_path: Path) -> None:
    source = filled(name, tmp_path / "data")
    with pytest.raises(SourceError) as caught:
        list(source.read(f"file://{tmp_path}/gone.jsonl"))
    assert "gone.jsonl" in str(caught.value)
    assert len(str(caught.value).splitlines()) == 1
