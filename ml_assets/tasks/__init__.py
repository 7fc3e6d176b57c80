"""Label tasks. A new one is one file here and its name in this list."""

from ml_assets.registry import Registry
from ml_assets.tasks.base import Consensus, InvalidLabel, Metric, Predicted, Task
from ml_assets.tasks.single_choice import SingleChoice

TASKS: Registry[Task] = Registry("task", SingleChoice)
TaskField = TASKS.field(Task)

__all__ = ["TASKS", "Consensus", "InvalidLabel", "Metric", "Predicted", "SingleChoice", "Task", "TaskField"]
