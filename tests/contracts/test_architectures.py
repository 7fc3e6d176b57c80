"""What every network does with vectors."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import optuna
import pytest
import torch

from ml_assets.training.architectures import ARCHITECTURES, Architecture
from ml_assets.training.fit import Examples, fit, probabilities
from ml_assets.training.trained import TrainedModel
from ml_assets.training.tuning import describe

from .plugins import options

EACH = pytest.mark.parametrize("name", list(ARCHITECTURES))
INPUTS, CLASSES = 12, 4


def of(name: str, **more: Any) -> Architecture:
    return ARCHITECTURES.parse(options(ARCHITECTURES[name]) | more)


def examples(n: int = 40, seed: int = 0) -> Examples:
    """Points around four corners, as far apart as the embeddings of different topics."""
    generator = np.random.default_rng(seed)
    targets = np.arange(n, dtype=np.int64) % CLASSES
    corners = np.eye(CLASSES, INPUTS, dtype=np.float32)
    vectors = corners[targets] + generator.normal(0, 0.1, (n, INPUTS)).astype(np.float32)
    return Examples(vectors / np.linalg.norm(vectors, axis=1, keepdims=True), targets)


@EACH
@pytest.mark.parametrize(("inputs", "outputs", "batch"), [(384, 6, 3), (1, 2, 1), (12, 40, 17)])
def test_a_network_goes_from_vectors_to_one_logit_per_class(name: str, inputs: int, outputs: int, batch: int) -> None:
    network = of(name).network(inputs, outputs).eval()
    found = network(torch.randn(batch, inputs))
    assert found.shape == (batch, outputs)
    assert found.dtype == torch.float32
    found.sum().backward()
    assert all(p.grad is not None and torch.isfinite(p.grad).all() for p in network.parameters())


@EACH
def test_it_learns_what_can_be_separated(name: str) -> None:
    train, unseen = examples(), examples(200, seed=1)
    network = fit(of(name), train, CLASSES, seed=0)
    assert not network.training
    for data in (train, unseen):
        scores = probabilities(network, data.vectors)
        assert scores.dtype == np.float32
        assert np.allclose(scores.sum(1), 1, atol=1e-5)
        assert (scores.argmax(1) == data.targets).mean() > 0.98
    assert np.array_equal(
        probabilities(network, unseen.vectors, batch=7).argmax(1), probabilities(network, unseen.vectors).argmax(1)
    )


@EACH
def test_the_same_seed_gives_the_same_network_and_another_one_another(name: str) -> None:
    first, again, other = (
        probabilities(fit(of(name, epochs=3), examples(), CLASSES, seed), examples().vectors) for seed in (0, 0, 1)
    )
    assert np.array_equal(first, again)
    assert not np.allclose(first, other)


@EACH
def test_how_it_learns_is_told_each_epoch(name: str) -> None:
    told: list[tuple[int, Mapping[str, float]]] = []
    fit(
        of(name, epochs=10),
        examples(),
        CLASSES,
        0,
        examples(20, seed=1),
        lambda epoch, values: told.append((epoch, dict(values))),
    )
    assert [epoch for epoch, _ in told] == list(range(10))
    assert told[0][1]["train_loss"] > told[-1][1]["train_loss"]
    assert told[0][1]["learning_rate"] > told[-1][1]["learning_rate"] >= 0
    assert {"val_loss", "val_accuracy", "train_loss", "learning_rate"} == set(told[-1][1])
    assert 0 <= told[-1][1]["val_accuracy"] <= 1


@EACH
def test_every_trial_is_a_valid_copy_that_differs(name: str) -> None:
    original = of(name, epochs=7)
    study = optuna.create_study(sampler=optuna.samplers.RandomSampler(seed=0))
    tried = [original.suggest(study.ask()) for _ in range(20)]
    assert original == of(name, epochs=7), "the original stays as it is"
    for copy in tried:
        assert type(copy) is type(original)
        assert copy.epochs == 7, "what is not searched stays as the YAML has it"
        assert ARCHITECTURES.parse(describe(copy)) == copy, "within the bounds of its fields"
        assert copy.network(INPUTS, CLASSES)(torch.randn(2, INPUTS)).shape == (2, CLASSES)
    assert len({copy.model_dump_json() for copy in tried}) > 15


@EACH
def test_a_saved_model_predicts_exactly_the_same(name: str, tmp_path: Path) -> None:
    architecture = of(name, epochs=5)
    encoder = {"name": "minilm", "dimensions": INPUTS}
    description = {"version": "x-1", "architecture": describe(architecture), "encoder": encoder, "classes": [*"abcd"]}
    model = TrainedModel(description, fit(architecture, examples(), CLASSES, seed=0))
    model.save(tmp_path / "model")
    again = TrainedModel.load(tmp_path / "model")
    before, after = model.predict_vectors(examples().vectors), again.predict_vectors(examples().vectors)
    assert np.array_equal(before.scores, after.scores)
    assert (after.labels, again.description) == (before.labels, description)
    assert sorted(path.name for path in (tmp_path / "model").iterdir()) == ["model.json", "model.safetensors"]
