"""What holds of every example."""

import pytest
from rich.console import Console

from ml_assets import settings
from ml_assets.demo import EXAMPLES, Example, annotators
from ml_assets.demo.show import UnknownExample, show

every_example = pytest.mark.parametrize("example", EXAMPLES.values(), ids=list(EXAMPLES))


@every_example
def test_an_example_has_a_project_whose_task_measures_its_figure(example: Example) -> None:
    assert example.metric in settings.load(example.project).labeling.task.metric_names


@every_example
def test_an_example_asks_for_a_minimum_of_its_figure(example: Example) -> None:
    assert 0.5 < settings.load(example.project).training.minimum[example.metric] < 1


def test_an_unknown_example_is_named_with_the_choices() -> None:
    with pytest.raises(UnknownExample, match="unknown example 'pictures': choose one of newsgroups, sentiment"):
        show("pictures", True, Console())


def test_answers_that_are_shared_out_are_each_known_to_one_annotator() -> None:
    answers = {f"{i:032x}"[::-1]: "a" for i in range(300)}
    shared = annotators.shared_out(answers)
    assert shared == annotators.shared_out(dict(reversed(answers.items())))
    assert sorted(sample for known in shared.values() for sample in known) == sorted(answers)
    assert all(len(known) > 30 for known in shared.values())
