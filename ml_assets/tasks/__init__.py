"""Label tasks. A new one is one file here and its name in this list."""

from ml_assets.registry import Registry
from ml_assets.tasks.base import Consensus, InvalidLabel, Metric, Predicted, Task
from ml_assets.tasks.boxes import Boxes
from ml_assets.tasks.multiple_choice import MultipleChoice
from ml_assets.tasks.single_choice import SingleChoice
from ml_assets.tasks.spans import Spans

TASKS: Registry[Task] = Registry("task", SingleChoice, MultipleChoice, Spans, Boxes)
TaskField = TASKS.field(Task)

__all__ = [
    "TASKS",
    "Boxes",
    "Consensus",
    "InvalidLabel",
    "Metric",
    "MultipleChoice",
    "Predicted",
    "SingleChoice",
    "Spans",
    "Task",
    "TaskField",
]
