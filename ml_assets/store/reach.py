"""Turns errors of table reads and writes into errors with one sentence for people."""

import re
from collections.abc import Iterator
from contextlib import contextmanager

from ml_assets.errors import MLAssetsError

DAMAGE = re.compile(
    r"(Invalid range|file size is too small|does not appear to be a Lance file|Not found|EOF while parsing|decode|orrupt|magic"
    r"|fill whole buffer)[^,\n/]*"
)
"""Matches Lance's messages about files that are truncated, empty or missing."""


class TableDamaged(MLAssetsError, OSError):
    """A file of a table is truncated, empty or missing; the message names the table and says what to do."""


class StoreUnavailable(MLAssetsError, OSError):
    """The tables cannot be reached or may not be read; the message is one sentence."""


@contextmanager
def reached(uri: str) -> Iterator[None]:
    """Turn errors of an object store and of damaged tables into `StoreUnavailable` and `TableDamaged`; let others pass."""
    foreseen: tuple[type[Exception], ...] = (OSError, ValueError, RuntimeError)
    if "://" in uri:
        from botocore.exceptions import BotoCoreError  # of fsspec's S3: no connection, no credentials

        foreseen = (*foreseen, BotoCoreError, ImportError)
    try:
        yield
    except foreseen as error:
        if isinstance(error, MLAssetsError):
            raise
        text = re.sub(r", /\S+\.rs:\d+:\d+$", "", " ".join(str(error).split()))  # Lance ends with a place in its own source
        if (damage := DAMAGE.search(text)) and "(os error" not in text and "was not found" not in text and "<Code>" not in text:
            raise damaged(uri, damage[0].strip()[:80]) from error
        # a table or a tag that is not there passes, too
        if "://" not in uri or (
            isinstance(error, ValueError) and not re.search("Generic |No object store provider|Protocol not known", text)
        ):
            raise
        known = re.search(r"<Code>(\w+)</Code>|(Failed to get AWS credentials|No object store provider[^\n']*'\w+')", text)
        short = (known[1] or known[2]) if known else text.rsplit(" - ", 1)[-1][:200]
        raise StoreUnavailable(
            f"the tables at {uri} cannot be reached ({short}): check ML_ASSETS_STORE, AWS_ENDPOINT_URL and the credentials"
        ) from error


def damaged(uri: str, why: str) -> TableDamaged:
    """Make the error for a damaged table; its message names the table and says what to do."""
    return TableDamaged(
        f"the table {uri} is damaged ({why}): put it back from a copy, or move it away and run the project again, "
        f"which makes anew what can be made"
    )
