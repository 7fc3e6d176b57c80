"""What is there after a pass over the sources; a project without samples says why there are none."""

from pathlib import Path

import pytest

from ml_assets.collection.totals import content_digest, require_samples, totals
from ml_assets.errors import Missing
from ml_assets.store import ProjectStore

from .reviews import run, settings, table, uri, write_csv


def test_without_a_sample_the_first_reason_is_said(store: ProjectStore, data: Path) -> None:
    source = table(data)
    with pytest.raises(Missing, match=r"^nothing could be collected: the sources are empty$"):
        require_samples(store, settings(source), run(store, source).problems)
    write_csv(data / "short.csv", [("", "good"), ("", "bad")])
    with pytest.raises(Missing, match=r"^nothing could be collected: 2 records were rejected, and there are no others$"):
        require_samples(store, settings(source), run(store, source).problems)
    (data / "torn.parquet").write_bytes(b"PAR1")
    [problem] = run(store, source).problems
    for problems in ([problem], []):  # what this pass saw, or one before it
        with pytest.raises(Missing) as raised:
            require_samples(store, settings(source), problems)
        assert str(raised.value) == f"nothing could be collected: {problem}"
    assert uri(data / "torn.parquet") in problem
    write_csv(data / "good.csv", [("fine", "good")])
    run(store, source)
    require_samples(store, settings(source), [problem])


def test_totals_count_what_is_there_and_what_this_pass_did(store: ProjectStore, data: Path) -> None:
    write_csv(data / "first.csv", [("fine", "good"), ("awful", "bad"), ("fine", "good"), ("", "good")])
    first = totals(store, run(store, table(data)))
    assert {k: v for k, v in first.items() if k not in ("train", "test")} == {
        "samples": 2, "received_now": 4, "duplicates_now": 1, "rejected_now": 1, "rejects": 1, "accepted_now": 2,
    }  # fmt: skip
    assert first["train"] + first["test"] == 2
    before = content_digest(store)
    again = totals(store, run(store, table(data)))
    assert (again["samples"], again["received_now"], content_digest(store)) == (2, 0, before)
    write_csv(data / "second.csv", [("dull", "bad")])
    run(store, table(data))
    assert content_digest(store) != before
