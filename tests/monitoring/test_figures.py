import io
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
from spool.lines import AT, days_ago

from ml_assets.charts import PALETTE, markdown
from ml_assets.monitoring.figures import accuracy_chart, drift_chart
from ml_assets.monitoring.monitors import MONITORS
from ml_assets.monitoring.profiles import profile, read
from ml_assets.store.schemas import rows


def coloured(png: bytes, colour: str) -> int:
    """Number of pixels of about that colour."""
    from matplotlib.image import imread

    wanted = np.array([int(colour[i : i + 2], 16) for i in (1, 3, 5)]) / 255
    return int((np.abs(imread(io.BytesIO(png))[..., :3] - wanted).max(axis=2) < 0.02).sum())


@pytest.mark.parametrize("kind", ["numbers", "categories", "constant"])
def test_drift_chart(kind: str, tmp_path: Path) -> None:
    draw = np.random.default_rng(0)
    columns = [
        {
            "confidence": draw.beta(sure if kind == "numbers" else 9, 1, 300),
            "characters": draw.lognormal(6, 1, 300) if kind != "constant" else np.full(300, 5.0),
            "label": draw.choice(
                list("ab") if kind == "categories" and sure == 2 else ["comp.graphics", "sci.space", "b"], 300
            ),
        }
        for sure in (9, 2)
    ]
    reference, traffic = (read(profile(pa.table(c), AT)) for c in columns)
    found = [(name, f) for name in MONITORS for f in MONITORS.parse(name).measure(reference, traffic)]
    measured = rows("drift", [vars(f) | {"id": f.column, "monitor": name} for name, f in found])
    png = drift_chart(measured, reference, traffic)
    assert (coloured(png, "#c2410c") > 500) == (kind != "constant"), "what drifted is marked"
    (tmp_path / f"{kind}.png").write_bytes(png)


def test_accuracy_chart(tmp_path: Path) -> None:
    made = [
        {"id": f"{m}{d}", "model": f"reviews-{m}", "day": f"{days_ago(d):%Y-%m-%d}", "feedback": 40, "correct": 36 - d,
         "accuracy": (36 - d) / 40, "low": (36 - d) / 40 - 0.12, "high": (36 - d) / 40 + 0.06, "at": AT}
        for m, d in ((1, 5), (1, 3), (1, 2), (2, 2), (2, 0))
    ]  # fmt: skip
    png = accuracy_chart(rows("live_accuracy", made))
    assert coloured(png, PALETTE[0]) > 100
    assert coloured(png, PALETTE[1]) > 100
    assert len(accuracy_chart(rows("live_accuracy", made[:1]))) > 1000
    (tmp_path / "accuracy.png").write_bytes(png)


def test_markdown_carries_the_picture() -> None:
    assert markdown(b"\x89PNG", "drift") == "![drift](data:image/png;base64,iVBORw==)"


def test_a_dollar_in_a_class_is_no_formula() -> None:
    reference, traffic = (
        read(profile(pa.table({"label": [often] * 50 + [seldom] * 5}), AT)) for often, seldom in (("a", "$$"), ("$$", "$5_{"))
    )
    drifted = pa.table({"column": ["label"], "score": [0.9], "threshold": [0.1], "drifted": [True]})
    assert drift_chart(drifted, reference, traffic).startswith(b"\x89PNG")
    rows_of = {"id": "a", "model": "$$", "day": "2026-01-31", "feedback": 13, "correct": 13,
               "accuracy": 1.0, "low": 0.77, "high": 1.0, "at": AT}  # fmt: skip
    assert accuracy_chart(rows("live_accuracy", [rows_of])).startswith(b"\x89PNG")
