"""Escapes and restores table cells that a spreadsheet would run as formulas."""

import re

FORMULA = re.compile(r"'*(\s*[=+\-@\uff1d\uff0b\uff0d\uff20]|[\t\r])")
"""Matches texts that a spreadsheet takes for a formula or splits, with any number of apostrophes before them."""
NUMBER = re.compile(r"[+-]?([0-9]+\.?[0-9]*|\.[0-9]+)([eE][+-]?[0-9]+)?")


def harmless(text: str) -> str:
    """Put an apostrophe before the text if a spreadsheet would run it as a formula; numbers stay unchanged.

    https://owasp.org/www-community/attacks/CSV_Injection
    """
    return f"'{text}" if FORMULA.match(text) and not NUMBER.fullmatch(text) else text


def as_written(cell: str) -> str:
    """Restore the text that `harmless` escaped."""
    return cell[1:] if cell.startswith("'") and FORMULA.match(cell, 1) else cell
