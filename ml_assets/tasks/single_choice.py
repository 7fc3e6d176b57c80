"""Exactly one class per sample: topic, sentiment, species."""

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, ClassVar
from xml.sax.saxutils import quoteattr

import numpy as np
from numpy.typing import NDArray
from pydantic import Field, field_validator

from ml_assets.tasks.base import Consensus, InvalidLabel, Metric, Predicted, Task, options, unknown_class
from ml_assets.tasks.classes import class_of, from_editor, from_yaml, known_classes, to_editor
from ml_assets.tasks.lists import as_list, regions
from ml_assets.tasks.scores import Draws, as_metrics, bootstrap, macro_f1, paired

if TYPE_CHECKING:
    import torch


class SingleChoice(Task):
    """The annotator picks exactly one of the classes. The value is the class itself."""

    name_in_yaml: ClassVar[str] = "single_choice"
    metric_names: ClassVar[tuple[str, ...]] = ("accuracy", "macro_f1")
    one_class: ClassVar[bool] = True

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
        """One required `Choices` block with a hotkey for each of the first nine classes."""
        return (
            f"<View>\n  <Header value={quoteattr(question)}/>\n  {content_tag}\n"
            f'  <Choices name="label" toName="content" choice="single" required="true">\n'
            f"{options('Choice', self.classes)}\n  </Choices>\n</View>"
        )

    def check(self, answer: Any) -> str:
        """The class that the answer means."""
        found = class_of(answer, self.classes)
        if found is None:
            raise unknown_class(answer, self.classes)
        return found

    def answer(self, value: str) -> str:
        """The class."""
        return value

    def read(self, result: Sequence[dict[str, Any]]) -> str:
        """The one choice of the block `label`."""
        choices: list[Any] = []
        for _, value in regions(result, self.classes):
            choices += as_list(value.get("choices"), self.classes)
        if len(choices) != 1:
            raise InvalidLabel(f"{len(choices)} choices where exactly one is needed")
        return self.check(from_editor(choices[0]))

    def write(self, value: str) -> list[dict[str, Any]]:
        """One `choices` region."""
        return [{"from_name": "label", "to_name": "content", "type": "choices", "value": {"choices": [to_editor(value)]}}]

    def classes_in(self, value: str) -> tuple[str, ...]:
        """The one class."""
        return (value,)

    def mapped(self, value: str, names: Mapping[str, str]) -> str | None:
        """The class under its new name."""
        return names.get(value)

    def consensus(self, values: Sequence[str]) -> Consensus:
        """The commonest class; two that are equally common conflict."""
        ranked = Counter(values).most_common(2)
        top, votes = ranked[0]
        tie = len(ranked) > 1 and ranked[1][1] == votes
        return Consensus(None if tie else top, votes / len(values))

    def headline(self) -> str:
        """Macro F1."""
        return "macro_f1"

    def metrics(
        self,
        targets: Sequence[str],
        predicted: Sequence[str],
        classes: Sequence[str],
        seed: int = 0,
        items: Sequence[Any] = (),
    ) -> dict[str, Metric]:
        """`accuracy` and `macro_f1`."""
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
        """Macro F1 of `first` minus `second`; both are resampled together."""
        a, b = bootstrap([_tallies(targets, predicted, classes) for predicted in (first, second)], _figures, seed)
        return paired(a, b, self.headline())

    def targets(self, values: Sequence[str], classes: Sequence[str]) -> NDArray[np.int64]:
        """`(n,)` positions of the classes."""
        index = {name: i for i, name in enumerate(classes)}
        return np.array([index[value] for value in values], np.int64)

    def loss(self, logits: "torch.Tensor", targets: "torch.Tensor", smoothing: float) -> "torch.Tensor":
        """Cross-entropy, with label smoothing."""
        from torch.nn.functional import cross_entropy

        return cross_entropy(logits, targets, label_smoothing=smoothing)

    def score(self, logits: "torch.Tensor", targets: "torch.Tensor") -> "torch.Tensor":
        """Whether the likeliest class is the right one."""
        return (logits.argmax(1) == targets).float()

    def predicted(self, logits: NDArray[np.float32], classes: Sequence[str]) -> Predicted:
        """The likeliest class by softmax; its probability is the confidence."""
        import torch

        scores = torch.from_numpy(logits).softmax(1).numpy()
        best = scores.argmax(1)
        return Predicted([classes[i] for i in best], scores[np.arange(len(best)), best], scores)


def _tallies(
    targets: Sequence[str], predicted: Sequence[str], classes: Sequence[str]
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """`(n, k)` whether each sample is a hit of each class, and how often it counts for that class, as target or prediction."""
    index = {name: i for i, name in enumerate(classes)}
    true, guess = np.array([index[t] for t in targets], int), np.array([index[p] for p in predicted], int)
    rows, hits, support = np.arange(len(true)), np.zeros((len(true), len(classes))), np.zeros((len(true), len(classes)))
    hits[rows, true] = true == guess
    support[rows, true] += 1.0
    support[rows, guess] += 1.0
    return hits, support


def _figures(hits: NDArray[np.float64], support: NDArray[np.float64]) -> Draws:
    return {"accuracy": 2 * hits.sum(1) / support.sum(1), "macro_f1": macro_f1(hits, support)}
