"""Tables in the metadata of assets."""

from ml_assets.texts.tables import markdown_table


def test_a_table_has_a_line_under_its_head() -> None:
    assert markdown_table(["class", "train"], [("good", 3), ("bad", 0)]) == (
        "| class | train |\n|---|---|\n| good | 3 |\n| bad | 0 |"
    )
    assert markdown_table(["class"], []) == "| class |\n|---|"
