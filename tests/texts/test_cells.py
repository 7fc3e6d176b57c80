"""Cells that a spreadsheet would calculate are harmless in what we export, and come back as they were."""

import csv
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ml_assets.collection.sources import TableSource
from ml_assets.collection.sources.reading.rows import rows_of
from ml_assets.deployment.batch import ADDED
from ml_assets.deployment.table_file import TableFile
from ml_assets.texts.cells import as_written, harmless

FORMULAS = ["=1+1", "+cmd|' /C calc'!A0", "-2+3", "@SUM(A1)", "\t=1", "\r=1", " =1", '=HYPERLINK("http://x")', "-", "\uff1d1"]
NUMBERS = ["-5", "+3.5", "-1e-9", "-.5", "7", "0"]
PLAIN = ["a=b", "", "soup", "'tis", "''", "#1", "1-2"]


@pytest.mark.parametrize("ending", ["csv", "tsv"])
def test_no_cell_of_an_export_is_a_formula_and_it_reads_back_as_it_was(tmp_path: Path, ending: str) -> None:
    texts = [*FORMULAS, *NUMBERS, *PLAIN, *("'" + text for text in FORMULAS)]
    path = tmp_path / f"out.{ending}"
    with TableFile(path, ADDED) as file:
        file.add([{"=text": text, "text": text, "n": -0.5, "predicted_label": text, "problem": None} for text in texts])
    with path.open(newline="") as opened:
        rows = list(csv.reader(opened, delimiter="\t" if ending == "tsv" else ","))
    for row in rows:
        for cell in row:
            assert cell in [*NUMBERS, "-0.5"] or not cell.lstrip(" ").startswith(("=", "+", "-", "@", "\t", "\r", "\uff1d"))
    assert [row[2] for row in rows[1:]] == ["-0.5"] * len(texts), "numbers stay numbers"
    found = list(rows_of(f"file://{path}", ending, ["text"]))
    assert [row["text"] for row in found if isinstance(row, dict)] == texts
    assert [row["=text"] for row in found if isinstance(row, dict)] == texts


@given(st.text() | st.text("'=+-@ \t\r\n1.e"))
def test_every_text_comes_back(text: str) -> None:
    assert as_written(harmless(text)) == text


def test_the_tables_of_others_are_read_as_they_stand(tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_text("text\n'=1+1\n=1+1\n")
    source = TableSource(name="theirs", path=str(tmp_path / "a.csv"))
    [batch] = source.read(source.files()[0].uri)
    assert [record.content for record in batch] == ["'=1+1", "=1+1"]  # type: ignore[union-attr]
