from ml_assets.store import ProjectStore
from ml_assets.visualization.report import ReportData

from .conftest import report_of
from .reviews import AT, IDS, TEXTS


def item(data: ReportData, name: str) -> dict:
    position = data.content["items"]["id"].index(IDS[name])
    return {column: values[position] for column, values in data.content["items"].items()}


def word(data: ReportData, column: str, name: str) -> str | None:
    code = item(data, name)[column]
    return None if code < 0 else data.content["names"][column][code]


def test_every_column_is_as_long_as_the_page(data: ReportData) -> None:
    assert {len(values) for values in data.content["items"].values()} == {data.shown} == {8}


def test_codes_stand_for_their_names(data: ReportData) -> None:
    assert data.content["names"]["value"] == ["good", "bad", "so so", "</script>"]
    assert (word(data, "value", "mended"), word(data, "predicted", "mended")) == ("so so", "bad")
    assert (word(data, "value", "doubt"), word(data, "predicted", "doubt")) == (None, None)
    assert (word(data, "source", "arabic"), word(data, "split", "slating")) == ("push", "test")
    assert word(data, "reason", "waits") == "uncertain"


def test_contents_belong_to_their_item(data: ReportData) -> None:
    for name in ("praise", "waits", "arabic"):
        assert TEXTS[name] in item(data, name)["html"]
        assert item(data, name)["origin"] == f"{name}.txt"


def test_a_long_item_is_cut_and_says_how_long_it_is(store: ProjectStore, data: ReportData) -> None:
    assert item(data, "long")["length"] == len(TEXTS["long"])
    assert "needle" not in item(data, "long")["html"]
    assert item(data, "praise")["length"] == 0
    assert "needle" in item(report_of(store, max_characters=20_000), "long")["html"]


def test_annotations_tell_who_what_and_when_oldest_first(data: ReportData) -> None:
    found = item(data, "mended")["annotations"]
    names = data.content["names"]
    told = [(names["labeler"][one[0]], names["value"][one[2]], one[7]) for one in found]
    assert told == [("<b>chi</b>", "good", 1), ("ada", "so so", 0), ("ben", "so so", 0), ("<b>chi</b>", "bad", 0)]
    day = 24 * 3600
    assert found[1][3:5] == [AT.timestamp() + 4 * day, AT.timestamp() + 6 * day]


def test_what_json_has_no_number_for_is_null(data: ReportData) -> None:
    assert item(data, "waits")["confidence"] is None
    assert item(data, "praise")["confidence"] == 0.98
