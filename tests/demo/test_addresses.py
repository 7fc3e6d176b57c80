"""The addresses: what becomes of the published words and tags."""

import io
import json
import tarfile
from pathlib import Path

import pytest

from ml_assets.demo import addresses
from ml_assets.demo.addresses import Address, spans_of, tagged
from ml_assets.demo.annotators import EMAILS
from ml_assets.modalities import Text
from ml_assets.settings import load

COLLECTION = """<Collection>
  <String><Number>7</Number> <Street>Old</Street> <Street>Mill</Street> <Kind>Rd.,</Kind> <Place>Arden,</Place> <Place>NC</Place></String>
  <String><Who>Tom</Who> <Who>&amp;</Who> <Who>Ann
</Who> <Number>12 </Number> <Street>Hill</Street></String>
  <String><Number>7</Number> <Street>OLD</Street> <Street>mill</Street> <Kind>rd</Kind> <Place>Arden</Place> <Place>NC</Place></String>
</Collection>"""  # noqa: E501


def parts(address: Address) -> list[tuple[str, str]]:
    return [(address.text[span["start"] : span["end"]], span["label"]) for span in json.loads(address.label)]


def test_words_beside_each_other_with_one_tag_are_one_span_without_what_is_behind_it() -> None:
    first, second = tagged(COLLECTION)
    assert first.text == "7 Old Mill Rd., Arden, NC"
    assert parts(first) == [("7", "Number"), ("Old Mill", "Street"), ("Rd.", "Kind"), ("Arden, NC", "Place")]
    assert second.text == "Tom & Ann\n 12  Hill"
    assert parts(second) == [("Tom & Ann", "Who"), ("12", "Number"), ("Hill", "Street")]


def test_an_address_that_differs_in_case_and_punctuation_alone_comes_once() -> None:
    assert [address.text[:5] for address in tagged(COLLECTION)] == ["7 Old", "Tom &"]


def test_places_are_those_of_the_text_that_is_collected() -> None:
    address = spans_of([(" 7", "Number", " "), (",", "Street", " "), ("Main ", "Street", " ")])
    assert address.text == Text().decode(address.text) == "7 , Main"
    assert parts(address) == [("7", "Number"), ("Main", "Street")]


def row(number: int) -> str:
    return f"<String><AddressNumber>{number}</AddressNumber> <StreetName>Main,</StreetName></String>"


@pytest.fixture
def package(tmp_path: Path) -> Path:
    """A package that is built as the real one."""
    rarest = f"<String><{addresses.RAREST}>old</{addresses.RAREST}></String>"
    files = {
        "labeled.xml": f"<Collection>{''.join(map(row, range(60)))}{rarest}</Collection>",
        "unparseable.csv": "".join(f'"{i} nowhere, {i}"\r\n' for i in range(30)) + "\r\n",
    }
    with tarfile.open(tmp_path / "package.tar.gz", "w:gz") as archive:
        for name, content in files.items():
            info = tarfile.TarInfo(addresses.INSIDE + name)
            info.size = len(content)
            archive.addfile(info, io.BytesIO(content.encode()))
    return tmp_path / "package.tar.gz"


@pytest.fixture
def example(package: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> addresses.Addresses:
    """The example on that package, which is small."""
    monkeypatch.setenv("ML_ASSETS_HOME", str(tmp_path))
    for name, size in {"TEST": 15, "LATER": 10, "REQUESTS": 8}.items():
        monkeypatch.setattr(addresses, name, size)
    monkeypatch.setattr(addresses, "downloaded", lambda *_: package)
    monkeypatch.setattr(addresses, "install_weights", lambda _: None)
    return addresses.Addresses()


def test_each_address_is_in_one_file(example: addresses.Addresses) -> None:
    assert example.fetch() == {"train": 35, "test": 15, "later": 10, "unparseable": 30}
    texts = [address.text for name in addresses.FILES[:3] for address in addresses.read(name)]
    assert sorted(texts) == sorted(f"{i} Main," for i in range(60))
    assert addresses.read("unparseable.csv")[3] == Address("3 nowhere, 3")


def test_the_weights_that_are_installed_are_those_that_the_project_names() -> None:
    assert load("addresses").features.encoder == addresses.ENCODER


def test_what_is_fetched_is_not_fetched_again(example: addresses.Addresses, monkeypatch: pytest.MonkeyPatch) -> None:
    found = example.fetch()
    monkeypatch.delattr(addresses, "downloaded")
    assert example.fetch() == found


def test_annotators_know_the_training_addresses_and_answer_what_the_task_allows(example: addresses.Addresses) -> None:
    example.fetch()
    task, text = load("addresses").labeling.task, Text()
    known = example.answers()
    assert set(known) == set(EMAILS)
    merged = {key: value for each in known.values() for key, value in each.items()}
    assert set(merged) == {text.sample_id(text.decode(address.text)) for address in addresses.read("train.csv")}
    assert all(
        task.parse(value) and task.from_label_studio(task.to_label_studio(task.parse(value))) for value in merged.values()
    )


def test_traffic_is_more_of_the_same_and_then_what_nobody_could_read(example: addresses.Addresses) -> None:
    example.fetch()
    same, strange = example.waves(0)
    assert (same.strange, strange.strange, len(same.requests), len(strange.requests)) == (False, True, 8, 8)
    assert same.requests[0].label[0]["label"] == "AddressNumber"
    assert {request.label for request in strange.requests} == {None}
    assert example.waves(0) == [same, strange]
    assert example.waves(1) != [same, strange]
