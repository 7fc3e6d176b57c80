"""What every network does with what it reads."""

import io
import json
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import optuna
import pytest
import torch

from ml_assets.modalities import MODALITIES, Encoder, Image, Text
from ml_assets.tasks import TASKS, ClassificationTask, Predicted, SingleLabelTask, Task
from ml_assets.training import fit as fitting
from ml_assets.training.architectures import ARCHITECTURES, Architecture
from ml_assets.training.fit import Examples, fit, logits, predict
from ml_assets.training.trained_model import TrainedModel
from ml_assets.training.tuning import describe

from .media import PITCHES, SHAPES, drawn, recorded, saved, small_bert, small_vit, tone
from .plugins import options

WORDS = (("striker", "goalie", "match"), ("rocket", "orbit", "moon"), ("doctor", "nurse", "clinic"))
NAMES = ("first", "second", "third")
CLASSES = len(NAMES)
ENOUGH = {"single_choice": 0.95, "spans": 0.9, "boxes": 0.8}
"""Primary metric that each task's network must reach; of others 0.8."""
KNOWN = ("text", "image", "audio", "mixed")
"""The modalities of which samples are made here; of others the samples are their own examples, which are learnt by heart."""
MIXED = {"type": "mixed", "parts": {"body": "text", "price": "number", "kind": "category"}}
CASES = [(name, (cls.modalities or ("text",))[0]) for name, cls in ARCHITECTURES.classes.items()]
CASES += [("mlp", "mixed"), ("mlp", "audio"), ("fine_tune", "image")]
CASES += [("mlp", name) for name in MODALITIES if name not in KNOWN]
EACH = pytest.mark.parametrize(("name", "modality"), CASES)
QUICK: dict[str, dict[str, Any]] = {
    "mlp": {"epochs": 30},
    "text_cnn": {"epochs": 20},
    "bilstm": {"epochs": 14},
    "fine_tune": {"epochs": 5, "batch_size": 8},
    "fine_tune image": {"epochs": 12, "batch_size": 8, "learning_rate": 1e-3},
    "image_cnn": {"epochs": 14, "batch_size": 8, "size": 16, "channels": 1, "width": 12},
    "token_classifier": {"epochs": 6, "batch_size": 8},
    "char_tagger": {"epochs": 15, "batch_size": 8, "width": 32, "size": 16},
    "detector": {"epochs": 60, "batch_size": 8, "size": 64, "width": 8},
    "fusion": {"epochs": 20, "batch_size": 16},
    "audio_cnn": {"epochs": 8, "batch_size": 8, "rate": 8000, "seconds": 0.3, "mels": 16, "width": 4},
}


@pytest.fixture(scope="module")
def encoders(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Encoder]:
    """One of each modality; that of pictures is small enough to be trained on in a test."""
    folder = tmp_path_factory.mktemp("vit")
    small_vit(folder)
    others = {name: MODALITIES.parse(options(MODALITIES[name])) for name in MODALITIES if name != "image"}
    others["mixed"] = MODALITIES.parse(MIXED)
    made = {name: modality.encoder(modality.default_encoder) for name, modality in others.items()}
    return made | {"image": Image().encoder(str(folder))}


@pytest.fixture(scope="module")
def small_encoders(encoders: dict[str, Encoder], tmp_path_factory: pytest.TempPathFactory) -> dict[str, Encoder]:
    """The same, and one of texts that is small too: for what has nothing to do with how well it reads."""
    folder = tmp_path_factory.mktemp("bert")
    small_bert(folder)
    return encoders | {"text": Text().encoder(str(folder))}


@pytest.fixture
def small_encoder(small_encoders: dict[str, Encoder], modality: str) -> Encoder:
    return small_encoders[modality]


@pytest.fixture
def encoder(encoders: dict[str, Encoder], modality: str) -> Encoder:
    return encoders[modality]


def of(name: str, **more: Any) -> Architecture:
    return ARCHITECTURES.parse(options(ARCHITECTURES[name]) | more)


def quick(name: str, modality: str, **more: Any) -> Architecture:
    """As small as it learns something; the contract holds for any that is registered."""
    return of(name, **QUICK.get(f"{name} {modality}", QUICK.get(name, {})) | more)


def task_of(name: str) -> Task:
    """The first task that the architecture answers."""
    kind = TASKS[(ARCHITECTURES[name].tasks or ("single_choice",))[0]]
    return TASKS.parse(options(kind) | {"classes": NAMES})


def samples(name: str, modality: str, n: int, seed: int = 0) -> tuple[list[Any], list[str]]:
    """What the architecture reads, with the answers."""
    if name == "detector":
        return squares(n, seed)
    listed, targets = items(modality, n, seed)
    if task_of(name).type != "spans":
        values = NAMES if isinstance(task_of(name), SingleLabelTask) else task_of(name).examples()
        return listed, [values[t] for t in targets]
    words = [text.split()[1] for text in listed]
    return listed, [
        json.dumps([{"start": 4, "end": 4 + len(word), "label": NAMES[t]}]) for word, t in zip(words, targets, strict=True)
    ]


def squares(n: int, seed: int) -> tuple[list[bytes], list[str]]:
    """A red, green or blue square somewhere on grey noise, and its box."""
    from PIL import Image as Picture

    generator = np.random.default_rng(seed)
    listed, values = [], []
    for i in range(n):
        pixels = generator.integers(100, 140, (64, 64, 3)).astype(np.uint8)
        side, (x, y) = int(generator.integers(16, 28)), generator.integers(0, 36, 2).tolist()
        pixels[y : y + side, x : x + side] = 30
        pixels[y : y + side, x : x + side, i % CLASSES] = 230
        Picture.fromarray(pixels).save(buffer := io.BytesIO(), "PNG")
        listed.append(buffer.getvalue())
        place = {"x": x / 64, "y": y / 64, "width": side / 64, "height": side / 64}
        values.append(task_of("detector").parse([{"label": NAMES[i % CLASSES], **place}]))
    return listed, values


def items(modality: str, n: int, seed: int = 0) -> tuple[list[Any], Any]:
    """Sentences that name a thing of one of three topics, pictures of three shapes, tones of three pitches."""
    generator = np.random.default_rng(seed)
    targets = np.arange(n, dtype=np.int64) % CLASSES
    if modality not in KNOWN:
        kind = MODALITIES.parse(options(MODALITIES[modality]))
        return [kind.decode(kind.examples()[t]) for t in targets], targets
    if modality == "image":
        return [saved(drawn(SHAPES[t], seed=1000 * seed + i)) for i, t in enumerate(targets)], targets
    if modality == "audio":
        return [recorded(tone(PITCHES[t], 0.3, 8_000, seed=1000 * seed + i), 8_000) for i, t in enumerate(targets)], targets
    if modality == "mixed":  # two parts say what it is, and one of them is missing now and then
        listed = [
            {"body": f"the {generator.choice(WORDS[t])} today", "price": 10.0**t + generator.uniform(), "kind": "any"}
            for t in targets
        ]
        kept = [
            {name: part for name, part in parts.items() if name != ("body", "price", "")[i % 5 % 3]}
            for i, parts in enumerate(listed)
        ]
        return [MODALITIES.parse(MIXED).decode(json.dumps(parts)) for parts in kept], targets
    filler = ["we saw it", "somebody told me", "in the evening", "today", "as I remember it well enough"]
    return [f"the {generator.choice(WORDS[t])} {generator.choice(filler)} {generator.integers(99)}" for t in targets], targets


def examples(architecture: Architecture, encoder: Encoder, modality: str, n: int = 48, seed: int = 0) -> Examples:
    listed, values = samples(architecture.type, modality, n, seed)
    return Examples(architecture.inputs(listed, encoder), values, listed)


def fitted(architecture: Architecture, encoder: Encoder, data: Examples, seed: int = 0, *rest: Any, **more: Any) -> Any:
    return fit(architecture, encoder, data, NAMES, task_of(architecture.type), seed, *rest, **more)


def answers(architecture: Architecture, network: Any, inputs: Any) -> Predicted:
    return predict(architecture, network, inputs, NAMES, task_of(architecture.type))


@EACH
@pytest.mark.parametrize(("outputs", "batch"), [(6, 3), (2, 1), (40, 17)])
def test_a_network_goes_from_its_inputs_to_its_logits(
    name: str, modality: str, encoder: Encoder, outputs: int, batch: int
) -> None:
    architecture = of(name)
    inputs = architecture.inputs(samples(name, modality, batch)[0], encoder)
    assert len(inputs) == batch
    network = architecture.network(encoder, outputs).eval()
    found = network(torch.from_numpy(inputs))
    assert found.shape == (batch, outputs) if isinstance(task_of(name), ClassificationTask) else len(found) == batch
    assert found.dtype == torch.float32
    found.sum().backward()
    learnt = [p for p in network.parameters() if p.requires_grad]
    assert all(p.grad is not None and torch.isfinite(p.grad).all() for p in learnt)
    grouped = [p for group in architecture.parameters(network) for p in group["params"]]
    assert len({id(p) for p in grouped}) == len(grouped)
    assert {id(p) for p in learnt} <= {id(p) for p in grouped}, "every weight is optimised"
    assert len(architecture.inputs([], encoder)) == 0


@pytest.mark.slow
@EACH
def test_it_learns_what_can_be_separated(name: str, modality: str, encoder: Encoder) -> None:
    architecture = quick(name, modality)
    train, unseen = examples(architecture, encoder, modality, 90), examples(architecture, encoder, modality, 120, seed=1)
    network, task = fitted(architecture, encoder, train), task_of(name)
    assert not network.training
    for data in (train, unseen):
        found = answers(architecture, network, data.inputs)
        assert (found.scores.dtype, found.scores.shape) == (np.float32, (len(data), CLASSES))
        assert ((found.confidence >= 0) & (found.confidence <= 1)).all()
        assert [task.parse(label) for label in found.labels] == found.labels
        reached = task.metrics(data.values, found.labels, NAMES, 0, data.items)[task.primary_metric].value
        # that of pictures is small and begins with weights by chance, as no trained one is small enough
        assert reached > (0.5 if (name, modality) == ("fine_tune", "image") else ENOUGH.get(task.type, 0.8))
    together = answers(architecture, network, unseen.inputs).scores
    alone = np.concatenate([answers(architecture, network, unseen.inputs[i : i + 7]).scores for i in range(0, 120, 7)])
    assert np.abs(alone - together).max() < 5e-3, "how a sample is answered does not depend on its neighbours"


@EACH
def test_the_same_seed_gives_the_same_network_and_another_one_another(name: str, modality: str, small_encoder: Encoder) -> None:
    architecture = quick(name, modality, epochs=2)
    data = examples(architecture, small_encoder, modality)
    first, again, other = (logits(fitted(architecture, small_encoder, data, seed), data.inputs) for seed in (0, 0, 1))
    assert np.array_equal(first, again)
    assert not np.allclose(first, other)


@pytest.mark.slow
@EACH
def test_a_killed_training_goes_on_from_its_checkpoint_and_ends_the_same(
    name: str, modality: str, small_encoder: Encoder, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    architecture = quick(name, modality, epochs=4)
    data, file = examples(architecture, small_encoder, modality), tmp_path / "training" / "x.ckpt"
    undisturbed = logits(fitted(architecture, small_encoder, data), data.inputs)
    monkeypatch.setattr(fitting, "CHECKPOINT_SECONDS", 0.0)
    epochs: list[int] = []

    def die(epoch: int, _: Mapping[str, float]) -> None:
        epochs.append(epoch)
        if epoch == 2:
            raise RuntimeError("killed")

    with pytest.raises(RuntimeError, match="killed"):
        fitted(architecture, small_encoder, data, on_epoch=die, checkpoint=file)
    assert file.exists()
    resumed = fitted(architecture, small_encoder, data, on_epoch=lambda epoch, _: epochs.append(epoch), checkpoint=file)
    assert epochs == [0, 1, 2, 2, 3], "what was done is not done again"
    assert np.array_equal(logits(resumed, data.inputs), undisturbed)
    assert list(file.parent.iterdir()) == [], "a checkpoint goes when the training has ended"


@pytest.mark.slow
@EACH
def test_it_stops_when_its_time_is_over(name: str, modality: str, small_encoder: Encoder) -> None:
    architecture = quick(name, modality, epochs=1000)
    data = examples(architecture, small_encoder, modality)
    epochs: list[int] = []
    until = time.monotonic() + 0.5
    network = fitted(architecture, small_encoder, data, on_epoch=lambda epoch, _: epochs.append(epoch), until=until)
    assert len(epochs) < 1000
    assert len(answers(architecture, network, data.inputs).labels) == len(data)


@pytest.mark.slow
@EACH
def test_how_it_learns_is_told_each_epoch(name: str, modality: str, encoder: Encoder) -> None:
    architecture = quick(name, modality, epochs=4)
    told: list[tuple[int, Mapping[str, float]]] = []
    data, unseen = examples(architecture, encoder, modality), examples(architecture, encoder, modality, 21, seed=1)
    fitted(architecture, encoder, data, 0, unseen, lambda epoch, values: told.append((epoch, dict(values))))
    trial_metric = f"val_{task_of(name).trial_metric}"
    assert [epoch for epoch, _ in told] == list(range(4))
    assert told[0][1]["train_loss"] > told[-1][1]["train_loss"]
    assert told[1][1]["learning_rate"] > told[-1][1]["learning_rate"] >= 0
    assert {"val_loss", trial_metric, "train_loss", "learning_rate"} == set(told[-1][1])
    assert 0 <= told[-1][1][trial_metric] <= 1


@EACH
def test_every_trial_is_a_valid_copy_that_differs(name: str, modality: str, encoder: Encoder) -> None:
    original = of(name, epochs=7)
    study = optuna.create_study(sampler=optuna.samplers.RandomSampler(seed=0))
    tried = [original.suggest(study.ask()) for _ in range(20)]
    assert original == of(name, epochs=7), "the original stays as it is"
    for copy in tried:
        assert type(copy) is type(original)
        assert copy.epochs == 7, "what is not searched stays as the YAML has it"
        assert ARCHITECTURES.parse(describe(copy)) == copy, "within the bounds of its fields"
    assert len({copy.model_dump_json() for copy in tried}) > 15
    inputs = torch.from_numpy(original.inputs(samples(name, modality, 2)[0], encoder))
    assert len(tried[0].network(encoder, CLASSES).eval()(inputs)) == 2


@pytest.mark.slow
@EACH
def test_a_saved_model_predicts_exactly_the_same(name: str, modality: str, encoder: Encoder, tmp_path: Path) -> None:
    architecture = quick(name, modality, epochs=1)
    description = {
        "version": "x-1", "modality": MIXED if modality == "mixed" else modality, "task": {"type": task_of(name).type},
        "architecture": describe(architecture),
        "encoder": encoder.model_dump(include={"name", "dimensions"}), "classes": list(NAMES),
    }  # fmt: skip
    model = TrainedModel(description, fitted(architecture, encoder, examples(architecture, encoder, modality)))
    model.save(tmp_path / "model")
    again = TrainedModel.load(tmp_path / "model")
    listed, _ = samples(name, modality, 20)
    before, after = model.predict(listed), again.predict(listed)
    assert np.array_equal(before.scores, after.scores)
    assert (after.labels, again.description) == (before.labels, description)
    assert sorted(path.name for path in (tmp_path / "model").iterdir()) == ["model.json", "model.safetensors"]
