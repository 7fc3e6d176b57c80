"""The outcome of a run, and the messages of failed steps for people."""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from ml_assets.commands.plain import plain

MISTAKES = ("AssertionError", "AttributeError", "IndexError", "KeyError", "NameError", "TypeError", "ZeroDivisionError")
"""Errors that are bugs in the program, whose messages are not sentences for people."""


@dataclass
class Outcome:
    """The result of a run: which assets were made, were up to date, failed or did not run.

    Args:
        materialized: Asset keys as `project/name`, in the order in which they ran.
        failed: Asset keys whose code raised, each with a sentence.
        blocked: Assets that did not run because of a failed asset or a failed blocking check before them.
        failed_checks: Failed blocking checks as `project/name:check`, with the reason; `warnings` are those that do not block.
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
        """Whether nothing failed and nothing was blocked."""
        return not (self.failed or self.blocked or self.failed_checks)

    def as_json(self) -> dict[str, Any]:
        """The outcome as `ml-assets run --json` prints it."""
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
    """A finished step of a run, for display while the run goes on: the asset, its stage, the duration and its metadata."""

    asset: str
    stage: str
    seconds: float
    metadata: Mapping[str, Any]


def sentence_of(failure: Any) -> str:
    """The message for people about a failed step: that of the error that was raised, without the traceback."""
    if failure.user_failure_data and failure.user_failure_data.description:
        return str(failure.user_failure_data.description)
    return message_of(failure.error)


def message_of(error: Any) -> str:
    """The message of a serialized Dagster error, without the errors that Dagster wrapped around it; `failed` for None."""
    while error is not None and error.cause is not None and (error.cls_name or "").startswith("Dagster"):
        error = error.cause  # Dagster wraps the error that was raised; that error's own cause is less useful
    if error is None:
        return "failed"
    if error.cls_name in MISTAKES:  # its message alone, such as 'x', is not helpful
        return f"{error.message.strip()}: a mistake in the program, its traceback stands on the run's page in Dagster"
    # Dagster puts the class, with its module, before the message
    return plain(re.sub(rf"^[\w.]*{re.escape(error.cls_name or '')}: ", "", error.message.strip()))


def was_interrupted(failure: Any) -> bool:
    """Whether Ctrl-C ended the step."""
    return bool(failure.error) and failure.error.cls_name in ("DagsterExecutionInterruptedError", "KeyboardInterrupt")
