"""At least one class per sample: tags."""

import json
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, ClassVar, Literal
from xml.sax.saxutils import quoteattr

import numpy as np
from numpy.typing import NDArray
from pydantic import Field, field_validator

from ml_assets.tasks.base import Consensus, Metric, Predicted, Task, options
from ml_assets.tasks.classes import from_editor, from_yaml, known_classes, to_editor
from ml_assets.tasks.lists import as_class, as_list, as_value, refused, regions
from ml_assets.tasks.scores import Draws, agreement, as_metrics, bootstrap, macro_f1, micro_f1, paired

if TYPE_CHECKING:
    import torch


class MultipleChoice(Task):
    """The annotator picks one or more of the classes. The value is a JSON list of them, in the order of the classes."""

    name_in_yaml: ClassVar[str] = "multiple_choice"
    metric_names: ClassVar[tuple[str, ...]] = ("micro_f1", "macro_f1")
    trial_metric: ClassVar[str] = "jaccard"

    classes: tuple[str, ...] = Field(min_length=2)
    """The classes, in the order in which annotators see them."""

    @field_validator("classes", mode="before")
    @classmethod
    def _as_text(cls, classes: Any) -> Any:
        return from_yaml(classes)

    @field_validator("classes")
    @classmethod
    def _distinct(cls, classes: tuple[str, ...]) -> tuple[str, ...]:
        return known_classes(classes)

    def label_config(self, content_tag: str, question: str) -> str:
        """One required `Choices` block of check boxes, with a hotkey for each of the first nine classes."""
        return (
            f"<View>\n  <Header value={quoteattr(question)}/>\n  {content_tag}\n"
            f'  <Choices name="label" toName="content" choice="multiple" required="true">\n'
            f"{options('Choice', self.classes)}\n  </Choices>\n</View>"
        )

    def check(self, answer: Any) -> str:
        """The classes of a list, or of the JSON text of one, in their order; what stands there twice counts once."""
        picked = {as_class(name, self.classes) for name in as_list(answer, self.classes)}
        if not picked:
            raise refused("at least one class is needed", self.classes)
        return as_value([name for name in self.classes if name in picked])

    def answer(self, value: str) -> list[str]:
        """The list of classes."""
        return list(json.loads(value))

    def read(self, result: Sequence[dict[str, Any]]) -> str:
        """All choices of the block `label`."""
        picked: list[Any] = []
        for _, value in regions(result, self.classes):
            picked += as_list(value.get("choices"), self.classes)
        return self.check([from_editor(name) for name in picked])

    def answer_type(self) -> Any:
        """A list of classes."""
        return list[Literal[self.classes]]  # type: ignore[name-defined]

    def write(self, value: str) -> list[dict[str, Any]]:
        """One `choices` region."""
        choices = [to_editor(name) for name in self.answer(value)]
        return [{"from_name": "label", "to_name": "content", "type": "choices", "value": {"choices": choices}}]

    def alike(self, first: str, second: str) -> float:
        """The Jaccard index of the classes."""
        a, b = set(json.loads(first)), set(json.loads(second))
        return len(a & b) / len(a | b)

    def classes_in(self, value: str) -> tuple[str, ...]:
        """All of them."""
        return tuple(json.loads(value))

    def mapped(self, value: str, names: Mapping[str, str]) -> str | None:
        """The classes under their new names, in the order of these; None if nothing is left."""
        kept = {names[name] for name in json.loads(value) if name in names}
        return as_value([name for name in dict.fromkeys(names.values()) if name in kept]) if kept else None

    def consensus(self, values: Sequence[str]) -> Consensus:
        """The classes that more than half of the annotators picked; one that exactly half picked is a conflict, as is none.

        The agreement is the mean Jaccard index of pairs of answers (as in Passonneau 2006, whose MASI weighs it): it tells
        two who share three of four tags from two who share none, which a share of equal answers does not.
        """
        counts = Counter(name for value in values for name in json.loads(value))
        found = [name for name in self.classes if 2 * counts[name] > len(values)]
        split = any(2 * count == len(values) for count in counts.values())
        return Consensus(None if split or not found else as_value(found), agreement(values, self.alike))

    def headline(self) -> str:
        """Micro F1."""
        return "micro_f1"

    def metrics(
        self,
        targets: Sequence[str],
        predicted: Sequence[str],
        classes: Sequence[str],
        seed: int = 0,
        items: Sequence[Any] = (),
    ) -> dict[str, Metric]:
        """`micro_f1` over all pairs of sample and class, `macro_f1` over classes."""
        return as_metrics(bootstrap([_tallies(targets, predicted, classes)], _figures, seed)[0], len(targets))

    def difference(
        self,
        targets: Sequence[str],
        first: Sequence[str],
        second: Sequence[str],
        classes: Sequence[str],
        seed: int = 0,
        items: Sequence[Any] = (),
    ) -> Metric:
        """Micro F1 of `first` minus `second`; both are resampled together."""
        a, b = bootstrap([_tallies(targets, predicted, classes) for predicted in (first, second)], _figures, seed)
        return paired(a, b, self.headline())

    def targets(self, values: Sequence[str], classes: Sequence[str]) -> NDArray[np.float32]:
        """`(n, k)` 1 where the class is picked."""
        return _picked(values, classes).astype(np.float32)

    def loss(self, logits: "torch.Tensor", targets: "torch.Tensor", smoothing: float) -> "torch.Tensor":
        """Binary cross-entropy of each class; smoothing moves the targets towards one half."""
        from torch.nn.functional import binary_cross_entropy_with_logits

        return binary_cross_entropy_with_logits(logits, targets * (1 - smoothing) + smoothing / 2)

    def score(self, logits: "torch.Tensor", targets: "torch.Tensor") -> "torch.Tensor":
        """The Jaccard index of what is predicted and what is right."""
        import torch

        picked = (logits > 0) | (torch.arange(logits.shape[1], device=logits.device) == logits.argmax(1, keepdim=True))
        right = targets > 0.5
        return (picked & right).sum(1) / (picked | right).sum(1).clamp(min=1)

    def predicted(self, logits: NDArray[np.float32], classes: Sequence[str]) -> Predicted:
        """The classes whose probability (sigmoid) is above one half, and the likeliest one in any case.

        The confidence is the probability of the whole answer if classes were independent: the product over all classes.
        """
        import torch

        scores = torch.from_numpy(logits).sigmoid().numpy()
        picked = scores > 0.5
        picked[np.arange(len(picked)), scores.argmax(1)] = True
        confidence = np.where(picked, scores, 1 - scores).prod(1)
        values = [as_value([classes[i] for i in np.flatnonzero(row)]) for row in picked]
        return Predicted(values, confidence.astype(np.float32), scores)


def _picked(values: Sequence[str], classes: Sequence[str]) -> NDArray[np.bool_]:
    """`(n, k)` which classes stand in each value."""
    index = {name: i for i, name in enumerate(classes)}
    found = np.zeros((len(values), len(classes)), bool)
    for row, value in zip(found, values, strict=True):
        row[[index[name] for name in json.loads(value)]] = True
    return found


def _tallies(
    targets: Sequence[str], predicted: Sequence[str], classes: Sequence[str]
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """`(n, k)` whether each class is a hit, and how often it counts, as target or prediction."""
    true, guess = _picked(targets, classes), _picked(predicted, classes)
    return (true & guess).astype(float), true.astype(float) + guess


def _figures(hits: NDArray[np.float64], support: NDArray[np.float64]) -> Draws:
    return {"micro_f1": micro_f1(hits, support), "macro_f1": macro_f1(hits, support)}
