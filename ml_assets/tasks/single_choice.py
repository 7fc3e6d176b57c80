"""The label task `single_choice`: exactly one class per sample, such as a topic, sentiment or species."""

from collections import Counter
from collections.abc import Sequence
from typing import Any, ClassVar

from ml_assets.tasks.answers.classes import InvalidLabel
from ml_assets.tasks.answers.label_studio import control, from_editor, page, region, regions, to_editor
from ml_assets.tasks.answers.lists import as_list
from ml_assets.tasks.base import Consensus, SingleLabelTask
from ml_assets.tasks.metrics.shares import Share, Tally, f1_by_class


class SingleChoice(SingleLabelTask):
    """The annotator picks exactly one of the classes. The value is the class itself."""

    name_in_yaml: ClassVar[str] = "single_choice"
    metric_names: ClassVar[tuple[str, ...]] = ("accuracy", "macro_f1")
    primary_metric: ClassVar[str] = "macro_f1"

    def label_config(self, content_tag: str, question: str) -> str:
        """A Label Studio page with one required `Choices` block, and hotkeys for the first nine classes."""
        choices = control("Choices", "Choice", self.classes, ' choice="single" required="true"')
        return page(question, content_tag, choices)

    def from_label_studio(self, result: Sequence[dict[str, Any]]) -> str:
        """The class of the one choice of the control `label`. Raises `InvalidLabel`."""
        choices: list[Any] = []
        for _, value in regions(result, self.classes):
            choices += as_list(value.get("choices"), self.classes)
        if len(choices) != 1:
            raise InvalidLabel(f"{len(choices)} choices where exactly one is needed")
        return self.parse(from_editor(choices[0]))

    def to_label_studio(self, value: str) -> list[dict[str, Any]]:
        """One `choices` region with the class."""
        return [region("choices", {"choices": [to_editor(value)]})]

    def consensus(self, values: Sequence[str]) -> Consensus:
        """The most frequent class; a tie is a conflict."""
        ranked = Counter(values).most_common(2)
        top, votes = ranked[0]
        tie = len(ranked) > 1 and ranked[1][1] == votes
        return Consensus(None if tie else top, votes / len(values))

    def tally(self, target: str, predicted: str, classes: Sequence[str], item: Any) -> Tally:
        """The sample's contribution to `accuracy` and `macro_f1`."""
        return {"accuracy": Share(target == predicted), "macro_f1": f1_by_class({target}, {predicted})}
