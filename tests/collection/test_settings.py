"""A wrong option is one sentence with the choices."""

from typing import Any

import pytest
from pydantic import ValidationError

from ml_assets.collection.settings import CollectionSettings

FILE = {"type": "files", "name": "a", "path": "x"}


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"modality": "smell"}, r"unknown modality 'smell': choose one of .*text"),
        ({"sources": [FILE, FILE]}, "two sources have the name 'a': give each its own"),
        ({"sources": [FILE | {"name": "production"}]}, "a source cannot have the name 'production': choose another"),
        ({"sources": [FILE | {"type": "ftp"}]}, "unknown source 'ftp': choose one of files, table"),
        ({"sources": [FILE | {"split": "validation"}]}, "Input should be 'train' or 'test'"),
        ({"sources": [{"type": "upload"}]}, "unknown source 'upload': choose one of files, table"),
        ({"sources": [FILE | {"path": ""}]}, "at least 1 character"),
        ({"sources": [FILE | {"name": ""}]}, "at least 1 character"),
        ({"min_length": 9, "max_length": 5}, "min_length 9 is above max_length 5"),
        ({"test_share": 1.0}, "Input should be less than 1"),
        ({"minlength": 9}, "Extra inputs are not permitted"),
    ],
)
def test_wrong_options(options: dict[str, Any], said: str) -> None:
    with pytest.raises(ValidationError, match=said):
        CollectionSettings.model_validate({"modality": "text", **options})


def test_settings_read_what_they_write() -> None:
    made = CollectionSettings.model_validate({"modality": "text", "sources": [FILE | {"label_from_folder": True}]})
    assert made.sources[0].type == "files"
    assert made.model_dump()["sources"][0]["label_from_folder"] is True
    assert made.modality.type == "text"
