"""Encodes JSON for the script element of an HTML page."""

import json
from typing import Any


def script_json(value: Any) -> str:
    """Encode a value as JSON that is safe inside a `<script>` element. Raises `ValueError` for NaN and infinity."""
    text = json.dumps(value, ensure_ascii=False, allow_nan=False, separators=(",", ":"))
    # without "<" neither "</script" nor "<!--" can occur; the line separators end a line in older JavaScript
    return text.replace("<", "\\u003c").replace("\u2028", "\\u2028").replace("\u2029", "\\u2029")
