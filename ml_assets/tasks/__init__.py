"""The registry of label tasks: a new one is a file in this folder and its name in the list.

`base` defines the interface; `answers` and `metrics` hold what several tasks share.
"""

from ml_assets.registry import Registry
from ml_assets.tasks.answers.classes import InvalidLabel
from ml_assets.tasks.base import ClassificationTask, Consensus, Predicted, SingleLabelTask, Task
from ml_assets.tasks.boxes import Boxes
from ml_assets.tasks.metrics.intervals import Metric
from ml_assets.tasks.multiple_choice import MultipleChoice
from ml_assets.tasks.single_choice import SingleChoice
from ml_assets.tasks.spans import Spans

TASKS: Registry[Task] = Registry("task", SingleChoice, MultipleChoice, Spans, Boxes)
TaskField = TASKS.field(Task)

__all__ = [
    "TASKS",
    "Boxes",
    "ClassificationTask",
    "Consensus",
    "InvalidLabel",
    "Metric",
    "MultipleChoice",
    "Predicted",
    "SingleChoice",
    "SingleLabelTask",
    "Spans",
    "Task",
    "TaskField",
]
