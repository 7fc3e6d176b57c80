"""Markdown tables, for the metadata of assets."""

from collections.abc import Iterable, Sequence


def markdown_table(head: Sequence[str], rows: Iterable[Sequence[object]]) -> str:
    """Format rows as a Markdown table with the column headings `head`."""
    first, *others = [f"| {' | '.join(map(str, row))} |" for row in (head, *rows)]
    return "\n".join([first, f"|{'---|' * len(head)}", *others])
