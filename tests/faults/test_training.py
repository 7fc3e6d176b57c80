"""What a training keeps of itself may be damaged: what follows is the same, some of it is done again."""

import random
from pathlib import Path

import optuna
import pytest

from ml_assets.training.journal import Journal

from . import checkpoints
from .files import DAMAGES

ARCHITECTURES = [{"type": "mlp", "hidden": hidden} for hidden in (2, 4, 8)]


@pytest.mark.parametrize("damage", DAMAGES)
def test_a_damaged_checkpoint_is_as_good_as_none(damage: str, tmp_path: Path) -> None:
    path = tmp_path / "a.ckpt"
    checkpoints.leave(path)
    DAMAGES[damage](path, random.Random(0))
    assert checkpoints.train(path) == checkpoints.train(None)


@pytest.mark.parametrize("damage", DAMAGES)
def test_a_damaged_journal_keeps_what_stands_before_the_damage(
    damage: str, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    journal, path = Journal("st-1", tmp_path), tmp_path / "journal.log"
    for architecture in ARCHITECTURES:
        journal.end_trial(architecture, optuna.create_study().ask(), 0.5, "run", "done", 1.0, {0: 0.5})
    before = path.read_bytes()
    DAMAGES[damage](path, random.Random(0))
    left = path.read_bytes() if path.exists() else b""
    after = Journal("st-1", tmp_path)
    after.begin("run")
    again = Journal("st-1", tmp_path)
    known = [again.known(architecture) is not None for architecture in ARCHITECTURES]
    assert known[0] == (damage == "cut in half")
    assert not known[2]
    assert path.with_name("journal.log.damaged").exists() == (left not in (b"", before))
    assert ("was put aside as journal.log.damaged" in caplog.text) == (left not in (b"", before))
