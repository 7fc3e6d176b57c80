"""A Label Studio client that works in bulk, never creates anything twice, and reports each error in one sentence.

Every call has a time limit. The server has no unique keys, so a sample's id is stored as `data.item_id`, and existing objects
are looked up before new ones are made.
"""

from ml_assets.labeling.label_studio.connection import stamp
from ml_assets.labeling.label_studio.http import LabelStudioRefused, LabelStudioUnavailable
from ml_assets.labeling.label_studio.projects import is_ours
from ml_assets.labeling.label_studio.tasks import QUEUE, Answer, LabelStudio, Suggestion

__all__ = ["QUEUE", "Answer", "LabelStudio", "LabelStudioRefused", "LabelStudioUnavailable", "Suggestion", "is_ours", "stamp"]
