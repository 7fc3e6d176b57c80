"""The label task `multiple_choice`: at least one class per sample (tags)."""

import json
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, ClassVar, Literal

import numpy as np
from numpy.typing import NDArray

from ml_assets.tasks.answers.label_studio import control, from_editor, page, region, regions, to_editor
from ml_assets.tasks.answers.lists import as_class, as_list, as_value, refused
from ml_assets.tasks.base import ClassificationTask, Consensus, Predicted
from ml_assets.tasks.metrics.agreement import agreement
from ml_assets.tasks.metrics.shares import Tally, f1, f1_by_class

if TYPE_CHECKING:
    import torch


class MultipleChoice(ClassificationTask):
    """The annotator picks one or more of the classes. The value is a JSON list of them, in the order of the classes."""

    name_in_yaml: ClassVar[str] = "multiple_choice"
    metric_names: ClassVar[tuple[str, ...]] = ("micro_f1", "macro_f1")
    primary_metric: ClassVar[str] = "micro_f1"
    trial_metric: ClassVar[str] = "jaccard"

    def label_config(self, content_tag: str, question: str) -> str:
        """A Label Studio page with one required `Choices` block of check boxes, and hotkeys for the first nine classes."""
        choices = control("Choices", "Choice", self.classes, ' choice="multiple" required="true"')
        return page(question, content_tag, choices)

    def parse(self, answer: Any) -> str:
        """The classes of a list or of JSON text, without duplicates, in the order of `classes`. Raises `InvalidLabel`."""
        picked = {as_class(name, self.classes) for name in as_list(answer, self.classes)}
        if not picked:
            raise refused("at least one class is needed", self.classes)
        return as_value([name for name in self.classes if name in picked])

    def answer(self, value: str) -> list[str]:
        """The value as a list of classes."""
        return list(json.loads(value))

    def from_label_studio(self, result: Sequence[dict[str, Any]]) -> str:
        """The classes of all choices of the control `label`."""
        picked: list[Any] = []
        for _, value in regions(result, self.classes):
            picked += as_list(value.get("choices"), self.classes)
        return self.parse([from_editor(name) for name in picked])

    def answer_type(self) -> Any:
        """A list of `Literal` classes."""
        return list[Literal[self.classes]]  # type: ignore[name-defined]

    def to_label_studio(self, value: str) -> list[dict[str, Any]]:
        """One `choices` region with all classes."""
        return [region("choices", {"choices": [to_editor(name) for name in self.answer(value)]})]

    def similarity(self, first: str, second: str) -> float:
        """The Jaccard index of the classes of two values."""
        a, b = set(json.loads(first)), set(json.loads(second))
        return len(a & b) / len(a | b)

    def classes_in(self, value: str) -> tuple[str, ...]:
        """All classes of the value."""
        return tuple(json.loads(value))

    def relabel(self, value: str, names: Mapping[str, str]) -> str | None:
        """The renamed classes in the order of the new names; None if none is left."""
        kept = {names[name] for name in json.loads(value) if name in names}
        return as_value([name for name in dict.fromkeys(names.values()) if name in kept]) if kept else None

    def consensus(self, values: Sequence[str]) -> Consensus:
        """The classes picked by more than half of the annotators; a class picked by exactly half, or no class, is a conflict.

        The agreement is the mean Jaccard index of pairs of answers (as in Passonneau 2006, whose MASI weights it): unlike the
        share of equal answers, it distinguishes two answers that share three of four tags from two that share none.
        """
        counts = Counter(name for value in values for name in json.loads(value))
        found = [name for name in self.classes if 2 * counts[name] > len(values)]
        split = any(2 * count == len(values) for count in counts.values())
        return Consensus(None if split or not found else as_value(found), agreement(values, self.similarity))

    def tally(self, target: str, predicted: str, classes: Sequence[str], item: Any) -> Tally:
        """The sample's contribution to `micro_f1` and `macro_f1`."""
        true, guess = set(json.loads(target)), set(json.loads(predicted))
        return {"micro_f1": f1(true, guess), "macro_f1": f1_by_class(true, guess)}

    def targets(self, values: Sequence[str], classes: Sequence[str]) -> NDArray[np.float32]:
        """`(n, k)` 1 where the class is picked, else 0."""
        index = {name: i for i, name in enumerate(classes)}
        found = np.zeros((len(values), len(classes)), np.float32)
        for row, value in zip(found, values, strict=True):
            row[[index[name] for name in json.loads(value)]] = 1
        return found

    def loss(self, logits: "torch.Tensor", targets: "torch.Tensor", smoothing: float) -> "torch.Tensor":
        """Mean binary cross-entropy over the classes; smoothing moves the targets towards one half."""
        from torch.nn.functional import binary_cross_entropy_with_logits

        return binary_cross_entropy_with_logits(logits, targets * (1 - smoothing) + smoothing / 2)

    def score(self, logits: "torch.Tensor", targets: "torch.Tensor") -> "torch.Tensor":
        """`(batch,)` Jaccard index of the predicted and the target classes."""
        import torch

        picked = (logits > 0) | (torch.arange(logits.shape[1], device=logits.device) == logits.argmax(1, keepdim=True))
        right = targets > 0.5
        return (picked & right).sum(1) / (picked | right).sum(1).clamp(min=1)

    def predicted(self, logits: NDArray[np.float32], classes: Sequence[str]) -> Predicted:
        """The classes with a probability (sigmoid) above one half, and always the most probable one.

        The confidence is the probability of the whole answer if classes were independent: the product over all classes.
        """
        import torch

        scores = torch.from_numpy(logits).sigmoid().numpy()
        picked = scores > 0.5
        picked[np.arange(len(picked)), scores.argmax(1)] = True
        confidence = np.where(picked, scores, 1 - scores).prod(1)
        values = [as_value([classes[i] for i in np.flatnonzero(row)]) for row in picked]
        return Predicted(values, confidence.astype(np.float32), scores)
