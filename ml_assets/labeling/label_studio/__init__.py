"""A client of Label Studio that asks in bulk, never makes anything twice, and fails with one sentence.

Every call has a time limit. The server knows no unique keys, so that a sample's id travels as `data.item_id`, and what is
already there is looked up before anything is made.
"""

from ml_assets.labeling.label_studio.connection import stamp
from ml_assets.labeling.label_studio.http import LabelStudioRefused, LabelStudioUnavailable
from ml_assets.labeling.label_studio.projects import is_ours
from ml_assets.labeling.label_studio.tasks import QUEUE, Answer, LabelStudio, Suggestion

__all__ = ["QUEUE", "Answer", "LabelStudio", "LabelStudioRefused", "LabelStudioUnavailable", "Suggestion", "is_ours", "stamp"]
