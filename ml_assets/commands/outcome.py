"""What a run did, and what people read of a step that failed."""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from ml_assets.commands.plain import plain

MISTAKES = ("AssertionError", "AttributeError", "IndexError", "KeyError", "NameError", "TypeError", "ZeroDivisionError")
"""What is raised by a mistake in the program, and never with a sentence for people."""


@dataclass
class Outcome:
    """What a run did.

    Args:
        materialized: Asset keys as `project/noun`, in the order in which they ran.
        failed: Asset keys whose code raised, each with a sentence.
        blocked: Assets that did not run because of a failed asset or a failed blocking check before them.
        failed_checks: `project/noun:check`, with why; `warnings` are those that do not block.
    """

    materialized: list[str] = field(default_factory=list)
    up_to_date: list[str] = field(default_factory=list)
    failed: dict[str, str] = field(default_factory=dict)
    blocked: list[str] = field(default_factory=list)
    failed_checks: dict[str, str] = field(default_factory=dict)
    warnings: dict[str, str] = field(default_factory=dict)
    seconds: float = 0.0

    @property
    def succeeded(self) -> bool:
        """Whether everything that was asked for is there."""
        return not (self.failed or self.blocked or self.failed_checks)

    def as_json(self) -> dict[str, Any]:
        """What `--json` prints."""
        return {
            "materialized": self.materialized,
            "up_to_date": self.up_to_date,
            "failed": self.failed,
            "blocked": self.blocked,
            "failed_checks": sorted(self.failed_checks),
            "warnings": sorted(self.warnings),
            "seconds": round(self.seconds, 1),
        }


@dataclass(frozen=True)
class Step:
    """What is told of a materialised asset while the run goes on."""

    asset: str
    stage: str
    seconds: float
    metadata: Mapping[str, Any]


def sentence_of(failure: Any) -> str:
    """What a person should read of a failed step: the message of the error that was raised, without the traceback."""
    if failure.user_failure_data and failure.user_failure_data.description:
        return str(failure.user_failure_data.description)
    return message_of(failure.error)


def message_of(error: Any) -> str:
    """The message of an error as Dagster keeps it, without what Dagster wrapped it into; `failed` of none."""
    while error is not None and error.cause is not None and (error.cls_name or "").startswith("Dagster"):
        error = error.cause  # Dagster wraps what was raised; what that in turn came from says less
    if error is None:
        return "failed"
    if error.cls_name in MISTAKES:  # its message alone, such as 'x', says nothing
        return f"{error.message.strip()}: a mistake in the program, its traceback stands on the run's page in Dagster"
    # Dagster puts the class, with its module, before the message
    return plain(re.sub(rf"^[\w.]*{re.escape(error.cls_name or '')}: ", "", error.message.strip()))


def was_interrupted(failure: Any) -> bool:
    """Whether Ctrl-C ended the step."""
    return bool(failure.error) and failure.error.cls_name in ("DagsterExecutionInterruptedError", "KeyboardInterrupt")
