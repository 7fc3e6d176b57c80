import base64
import io
from datetime import date, timedelta

import matplotlib
import numpy as np
import pytest
from PIL import Image

from ml_assets.charts import PALETTE, REST, markdown, plot_style
from ml_assets.visualization.figures import MAX_BARS, class_counts, labels_over_time, source_counts, split_colours

DAY = date(2026, 11, 23)


def pixels(png: bytes, colour: str) -> int:
    """How many pixels of the picture have exactly that colour."""
    picture = np.asarray(Image.open(io.BytesIO(png)).convert("RGB"))
    wanted = [int(colour[i : i + 2], 16) for i in (1, 3, 5)]
    return int((picture == wanted).all(axis=2).sum())


def test_class_bars_are_as_long_as_their_counts() -> None:
    train, test = split_colours(["train", "test"]).values()
    png = class_counts({"good": {"train": 300, "test": 100}, "bad": {"train": 300, "test": 100}})
    # the legend's squares are a few hundred pixels of each
    assert pixels(png, train) / pixels(png, test) == pytest.approx(3, rel=0.1)


def test_splits_keep_their_colour_whichever_there_are() -> None:
    assert split_colours(["test"])["test"] == split_colours(["train", "test"])["test"]
    assert split_colours(["holdout"]) == {"holdout": REST}


def test_many_classes_become_one_bar_for_the_rest() -> None:
    def height(classes: int) -> int:
        return Image.open(io.BytesIO(class_counts({f"class {i}": {"train": i} for i in range(classes)}))).height

    assert height(MAX_BARS) == height(500) > height(3)


@pytest.mark.parametrize("name", ["_private", "$x_1$", "a\nb", "", "ёлка", "x" * 500])
def test_any_name_can_be_drawn(name: str) -> None:
    assert pixels(source_counts({name: 3}), PALETTE[0]) > 1000
    assert pixels(labels_over_time({DAY: {name: 3, "other": 2}}), PALETTE[1]) > 500


def test_labels_over_time_shows_thirty_days_and_groups_the_rest_of_the_labelers() -> None:
    days = {DAY - timedelta(days=i): {f"labeler {j}": 10 - j for j in range(10)} for i in range(60)}
    png = labels_over_time(days)
    assert pixels(png, REST) > 500
    assert pixels(labels_over_time({day: {"ada": 1} for day in days}), PALETTE[0]) > 10_000


@pytest.mark.parametrize("png", [class_counts({}), source_counts({}), labels_over_time({}), class_counts({"good": {}})])
def test_nothing_to_draw_is_still_a_picture(png: bytes) -> None:
    assert Image.open(io.BytesIO(png)).size[0] > 600


def test_charts_leave_matplotlib_as_it_was() -> None:
    before = dict(matplotlib.rcParams)
    with plot_style():
        assert not matplotlib.rcParams["axes.spines.top"]
    source_counts({"files": 1})
    assert dict(matplotlib.rcParams) == before


def test_markdown_holds_the_picture() -> None:
    png = source_counts({"files": 1})
    text = markdown(png, "Samples [per]\nsource")
    assert text.startswith("![Samples (per) source](data:image/png;base64,")
    assert base64.b64decode(text.split("base64,")[1][:-1]) == png
