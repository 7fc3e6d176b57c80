"""Packages that an example needs: what is said where they cannot be had, and what is not fetched twice."""

import subprocess
from pathlib import Path

import pytest

from ml_assets.demo import package
from ml_assets.demo.example import NoData
from ml_assets.modalities.encoders.packages import PACKAGED, Weights

NOWHERE = "ml-assets-has-no-such-package"


@pytest.fixture
def no_index(monkeypatch: pytest.MonkeyPatch) -> None:
    """pip, as where there is no network."""
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.delenv("PIP_FIND_LINKS", raising=False)
    monkeypatch.setenv("PIP_CONFIG_FILE", "/dev/null")


@pytest.mark.usefixtures("no_index")
def test_data_that_cannot_be_had_are_told_in_one_sentence(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "examples.txt").write_text(f"{NOWHERE}==1 --hash=sha256:{'0' * 64}\n")
    monkeypatch.setattr(package, "REQUIREMENTS", tmp_path)
    with pytest.raises(
        NoData, match=rf"^the example's texts come in the package {NOWHERE}==1, which cannot be downloaded: .+$"
    ):
        package.downloaded(NOWHERE, tmp_path)


@pytest.mark.usefixtures("no_index")
def test_weights_that_cannot_be_had_are_told_in_one_sentence(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "small.txt").write_text(f"{NOWHERE}==1 --hash=sha256:{'0' * 64}\n")
    monkeypatch.setattr(package, "REQUIREMENTS", tmp_path)
    monkeypatch.setitem(PACKAGED, "small", Weights({NOWHERE: "model"}, 8, "make small"))
    with pytest.raises(NoData, match=r"^the weights of the encoder small cannot be installed: .+$"):
        package.install_weights("small")


def test_weights_that_are_there_are_not_installed_again(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delattr(subprocess, "run")
    package.install_weights("minilm")
