"""Exactly one class per sample: topic, sentiment, species."""

from collections import Counter
from collections.abc import Sequence
from typing import Any, ClassVar
from xml.sax.saxutils import quoteattr

import numpy as np
from numpy.typing import NDArray
from pydantic import Field, field_validator

from ml_assets.tasks.base import Consensus, InvalidLabel, Metric, Task, interval

DRAWS = 1000


class SingleChoice(Task):
    """The annotator picks exactly one of the classes. The value is the class itself."""

    name_in_yaml: ClassVar[str] = "single_choice"
    classes: tuple[str, ...] = Field(min_length=2)
    """The classes, in the order in which annotators see them."""

    @field_validator("classes")
    @classmethod
    def _distinct(cls, classes: tuple[str, ...]) -> tuple[str, ...]:
        twice = [name for name, count in Counter(classes).items() if count > 1]
        if twice:
            raise ValueError(f"the class {twice[0]!r} stands twice in classes")
        if any(not name.strip() for name in classes):
            raise ValueError("a class needs a name")
        return classes

    def label_config(self, content_tag: str, question: str) -> str:
        """One required `Choices` block with a hotkey for each of the first nine classes."""
        choices = "\n".join(
            f"    <Choice value={quoteattr(name)}{f' hotkey={quoteattr(str(i))}' if i < 10 else ''}/>"
            for i, name in enumerate(self.classes, 1)
        )
        return (
            f"<View>\n  <Header value={quoteattr(question)}/>\n  {content_tag}\n"
            f'  <Choices name="label" toName="content" choice="single" required="true">\n{choices}\n  </Choices>\n</View>'
        )

    def check(self, answer: Any) -> str:
        """The class, if it is one."""
        if not isinstance(answer, str) or answer not in self.classes:
            shown = repr(answer) if len(repr(answer)) < 80 else repr(answer)[:77] + "…"
            raise InvalidLabel(f"unknown class {shown}: choose one of {', '.join(self.classes)}")
        return answer

    def read(self, result: Sequence[dict[str, Any]]) -> str:
        """The one choice of the block `label`."""
        choices = [c for r in result if r.get("from_name") == "label" for c in (r.get("value") or {}).get("choices", [])]
        if len(choices) != 1:
            raise InvalidLabel(f"{len(choices)} choices where exactly one is needed")
        return self.check(choices[0])

    def write(self, value: str) -> list[dict[str, Any]]:
        """One `choices` region."""
        return [{"from_name": "label", "to_name": "content", "type": "choices", "value": {"choices": [value]}}]

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
        self, targets: Sequence[str], predicted: Sequence[str], classes: Sequence[str], seed: int = 0
    ) -> dict[str, Metric]:
        """`accuracy` and `macro_f1`."""
        counts, draws = _confusions(targets, predicted, classes), _resampled(len(targets), seed)
        both = {"accuracy": _accuracy, "macro_f1": _macro_f1}
        tables = _tables(counts, draws, len(classes))
        whole = _tables(counts, np.ones((1, len(targets))), len(classes))
        return {name: Metric(float(score(whole)[0]), *interval(score(tables))) for name, score in both.items()}

    def difference(
        self, targets: Sequence[str], first: Sequence[str], second: Sequence[str], classes: Sequence[str], seed: int = 0
    ) -> Metric:
        """Macro F1 of `first` minus `second`; both are resampled together."""
        draws, one = _resampled(len(targets), seed), np.ones((1, len(targets)))
        a, b = _confusions(targets, first, classes), _confusions(targets, second, classes)
        k = len(classes)
        value = _macro_f1(_tables(a, one, k))[0] - _macro_f1(_tables(b, one, k))[0]
        return Metric(float(value), *interval(_macro_f1(_tables(a, draws, k)) - _macro_f1(_tables(b, draws, k))))


def _confusions(targets: Sequence[str], predicted: Sequence[str], classes: Sequence[str]) -> NDArray[np.int64]:
    """`(n,)` index of each sample's cell in the flattened confusion matrix."""
    index = {name: i for i, name in enumerate(classes)}
    pairs = zip(targets, predicted, strict=True)
    return np.array([index[t] * len(classes) + index[p] for t, p in pairs], dtype=np.int64)


def _resampled(n: int, seed: int) -> NDArray[np.float64]:
    """`(DRAWS, n)` how often each sample is drawn in each bootstrap draw."""
    return np.random.default_rng(seed).multinomial(n, np.full(n, 1 / n), size=DRAWS).astype(np.float64)


def _tables(cells: NDArray[np.int64], weights: NDArray[np.float64], k: int) -> NDArray[np.float64]:
    """`(draws, k, k)` confusion matrices (rows: target) of each weighting of the samples."""
    one_hot = np.zeros((len(cells), k * k))
    one_hot[np.arange(len(cells)), cells] = 1.0
    return (weights @ one_hot).reshape(-1, k, k)


def _accuracy(tables: NDArray[np.float64]) -> NDArray[np.float64]:
    return np.asarray(np.trace(tables, axis1=1, axis2=2) / tables.sum((1, 2)))


def _macro_f1(tables: NDArray[np.float64]) -> NDArray[np.float64]:
    """Mean F1 over the classes that stand among the targets or the predictions, as scikit-learn has it."""
    hits, support = np.diagonal(tables, axis1=1, axis2=2), tables.sum(1) + tables.sum(2)
    f1 = np.divide(2 * hits, support, out=np.full(hits.shape, np.nan), where=support > 0)
    return np.asarray(np.nanmean(f1, axis=1))
