"""Cells of tables that people open in a spreadsheet: what it would calculate is made harmless, and comes back as it was."""

import re

FORMULA = re.compile(r"'*(\s*[=+\-@\uff1d\uff0b\uff0d\uff20]|[\t\r])")
"""What a spreadsheet takes for a formula, or tears apart, however many apostrophes stand before it."""
NUMBER = re.compile(r"[+-]?([0-9]+\.?[0-9]*|\.[0-9]+)([eE][+-]?[0-9]+)?")


def harmless(text: str) -> str:
    """The text with an apostrophe before it if a spreadsheet would calculate it; numbers stay as they are.

    https://owasp.org/www-community/attacks/CSV_Injection
    """
    return f"'{text}" if FORMULA.match(text) and not NUMBER.fullmatch(text) else text


def as_written(cell: str) -> str:
    """What `harmless` made this cell of."""
    return cell[1:] if cell.startswith("'") and FORMULA.match(cell, 1) else cell
