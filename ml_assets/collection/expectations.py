"""Evaluates Great Expectations on a data frame and describes each failure in a sentence."""

import os
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import pandas as pd

os.environ.setdefault("GX_ANALYTICS_ENABLED", "false")


def failures(frame: "pd.DataFrame", expectations: list[tuple[str, dict[str, Any]]]) -> list[str]:
    """A sentence for each expectation, given as class name and arguments, that the data frame does not meet.

    An expectation that cannot be evaluated at all is a failure too.
    """
    import great_expectations as gx
    import great_expectations.expectations as gxe
    from great_expectations.data_context.types.base import ProgressBarsConfig

    context = gx.get_context(mode="ephemeral")
    context.variables.progress_bars = ProgressBarsConfig(globally=False)
    batch = (
        context.data_sources.add_pandas("frame").add_dataframe_asset("rows").add_batch_definition_whole_dataframe("all")
    ).get_batch({"dataframe": frame})
    sentences = []
    for name, arguments in expectations:
        outcome = batch.validate(getattr(gxe, name)(**arguments))
        if not outcome.success:
            found = outcome.result or {}
            seen = found.get("partial_unexpected_list") or [found.get("observed_value")]
            sentences.append(
                f"{name} {arguments}: {found.get('unexpected_count', '')} rows, such as {str(seen[:3])[:200]}".replace(
                    "  ", " "
                )
            )
    return sentences
