"""A trained model as a folder: `model.json` describes it, `model.safetensors` holds the weights. No pickle."""

import json
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from pydantic import ValidationError

from ml_assets.errors import MLAssetsError
from ml_assets.modalities import MODALITIES, Encoder, Modality
from ml_assets.state.files import write_whole
from ml_assets.tasks import TASKS, Predicted, Task
from ml_assets.training.architectures import ARCHITECTURES, Architecture
from ml_assets.training.fit import predict
from ml_assets.training.seal import Seal

EXAMPLE_TOLERANCE = 0.05
"""Maximum deviation of a probability in the self-check: other processors round differently."""


class ModelError(MLAssetsError, ValueError):
    """Raised when a folder holds no model that works here; the message says why."""


@dataclass
class TrainedModel:
    """A network with everything that is needed to predict.

    Args:
        description: The content of `model.json`: project, version, modality, task, encoder, architecture, classes, dataset,
            feature_set, run_id, examples (content as JSON, and scores).
        network: The trained `torch.nn.Module`.
        seal: What its folder was checked against, and the source of its examples.
    """

    description: dict[str, Any]
    network: Any = field(repr=False)
    seal: Seal | None = field(default=None, repr=False)

    @property
    def version(self) -> str:
        """The version `<project>-<n>`, numbered by MLflow's registry."""
        return str(self.description["version"])

    @property
    def classes(self) -> list[str]:
        """The classes, in the order of the scores."""
        return list(self.description["classes"])

    @cached_property
    def modality(self) -> Modality:
        """The modality, which decodes inputs."""
        return MODALITIES.parse(self.description["modality"])

    @cached_property
    def task(self) -> Task:
        """The label task, with the classes that the model distinguishes."""
        given = self.description["task"]  # older models store only the task's name
        return TASKS.parse({**(given if isinstance(given, dict) else {"type": given}), "classes": self.classes})

    @cached_property
    def encoder(self) -> Encoder:
        """The encoder, which turns inputs into vectors."""
        return self.modality.encoder(self.description["encoder"]["name"])

    @cached_property
    def architecture(self) -> Architecture:
        """The architecture of the network."""
        return ARCHITECTURES.parse(self.description["architecture"])

    @property
    def examples(self) -> Sequence[dict[str, Any]]:
        """Content and scores for the self-check: from the seal if it has any, else from `model.json`."""
        known = None if self.seal is None else self.seal.examples
        return list(self.description["examples"]) if known is None else known

    def predict(self, items: Sequence[Any]) -> Predicted:
        """Predictions of decoded items, in their order."""
        return self.predict_inputs(self.architecture.inputs(items, self.encoder))

    def predict_inputs(self, inputs: NDArray[Any]) -> Predicted:
        """Predictions from `(n, …)` inputs of the architecture; embeddings are `(n, d) float32`."""
        return predict(self.architecture, self.network, inputs, self.classes, self.task)

    def check_examples(self) -> None:
        """Raise `ModelError` if the model does not reproduce its stored examples."""
        examples = self.examples
        if not examples:
            raise ModelError(f"the model {self.version} has no stored examples to check itself on")
        scores = self.predict([self.modality.from_json(e["content"]) for e in examples]).scores
        expected = np.array([e["scores"] for e in examples])
        worst = float(np.abs(scores - expected).max()) if scores.shape == expected.shape else float("nan")
        if not worst <= EXAMPLE_TOLERANCE:
            raise ModelError(
                f"the model {self.version} gives other answers here than where it was made: "
                f"a probability is off by {worst:.3f}, more than {EXAMPLE_TOLERANCE}"
            )

    def save(self, folder: Path) -> None:
        """Write the model's files; the folder is complete as soon as `model.json` exists."""
        from safetensors.torch import save_file

        folder.mkdir(parents=True, exist_ok=True)
        save_file({k: v.contiguous() for k, v in self.network.state_dict().items()}, folder / "model.safetensors")
        write_whole(folder / "model.json", json.dumps(self.description, ensure_ascii=False, indent=1).encode())

    @classmethod
    def load(cls, folder: Path, seal: Seal | None = None) -> "TrainedModel":
        """Load the model in the folder, after checking it against the seal. Raises `ModelError` or `Tampered`."""
        from safetensors.torch import load_file

        for name in ("model.json", "model.safetensors"):
            if not (folder / name).is_file():
                raise ModelError(f"{folder} holds no model: {name} is missing")
        if seal is not None:
            seal.check(folder)
        try:
            description = json.loads((folder / "model.json").read_text(encoding="utf-8"))
            architecture = ARCHITECTURES.parse(description["architecture"])
            encoder = MODALITIES.parse(description["modality"]).encoder(description["encoder"]["name"])
            if encoder.dimensions != description["encoder"]["dimensions"]:
                raise ModelError(f"it was trained on another version of the encoder {encoder.name!r}")
            network = architecture.network(encoder, len(description["classes"]))
            network.load_state_dict(load_file(folder / "model.safetensors"))
        except Exception as error:
            raise ModelError(f"the model in {folder} cannot be loaded: {_reason(error)}") from error
        return cls(description, network.eval(), seal)


def _reason(error: Exception) -> str:
    """What is wrong with the folder, in one line."""
    if isinstance(error, KeyError):
        return f"{error} is missing in model.json"
    if isinstance(error, ValidationError):
        first = error.errors()[0]
        return f"{'.'.join(map(str, first['loc']))}: {first['msg']}"
    return (str(error).strip().splitlines() or [type(error).__name__])[0]
