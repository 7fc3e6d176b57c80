"""The modality `text`: any language, any script, one string per sample."""

import html
import re
from collections import Counter
from collections.abc import Sequence
from typing import Any, ClassVar, Literal

import pyarrow as pa

from ml_assets.modalities.base import Modality, Undecodable
from ml_assets.modalities.encoders.text import TextEncoder, text_encoder
from ml_assets.texts.offsets import Offsets

WORD = re.compile(r"\w+", re.UNICODE)


class Text(Modality):
    """UTF-8 text in any language."""

    name_in_yaml: ClassVar[str] = "text"
    column: ClassVar[Literal["text", "media"]] = "text"
    unit: ClassVar[str] = "characters"
    bounds: ClassVar[tuple[float, float]] = (1, 100_000)
    default_encoder: ClassVar[str] = "minilm"

    def decode(self, content: str | bytes) -> str:
        """The text with line ends changed to `\\n` and outer white space removed. Raises `Undecodable` if it is not text."""
        if isinstance(content, bytes):
            try:
                content = content.decode("utf-8-sig")
            except UnicodeDecodeError as error:
                raise Undecodable(f"not UTF-8 text: byte {content[error.start]:#04x} at position {error.start}") from error
        if "\x00" in content:
            raise Undecodable(f"not text: it holds a zero character at position {content.index(chr(0))}")
        try:
            content.encode("utf-8")
        except UnicodeEncodeError as error:
            raise Undecodable(f"not text: half of a surrogate pair at position {error.start}") from error
        text = content.replace("\r\n", "\n").replace("\r", "\n").strip()
        if not text:
            raise Undecodable("empty")
        return text

    def offsets(self, content: str | bytes) -> Offsets:
        """Mapping of positions for the removal of outer white space and of `\\r`; for bytes it refers to the decoded text."""
        return Offsets.of_text(content.decode("utf-8-sig") if isinstance(content, bytes) else content)

    def length(self, item: str) -> float:
        """Number of characters."""
        return len(item)

    def describe(self, items: Sequence[str]) -> pa.Table:
        """Columns `characters`, `words`, `word_length` (mean), `digits`, `upper` and `punctuation` (shares), `script`."""
        columns: dict[str, list[Any]] = {
            n: [] for n in ("characters", "words", "word_length", "digits", "upper", "punctuation", "script")
        }
        for item in items:
            words, size = WORD.findall(item), max(len(item), 1)
            columns["characters"].append(len(item))
            columns["words"].append(len(words))
            columns["word_length"].append(sum(map(len, words)) / max(len(words), 1))
            columns["digits"].append(sum(c.isdigit() for c in item) / size)
            columns["upper"].append(sum(c.isupper() for c in item) / size)
            columns["punctuation"].append(sum(not c.isalnum() and not c.isspace() for c in item) / size)
            columns["script"].append(_script(item))
        return pa.table(columns)

    def encoder(self, name: str) -> TextEncoder:
        """The encoder `minilm` or `mpnet` (weights from installed packages), or any sentence-transformers model or folder.

        With the suffix `*8` it reads up to eight windows of a text instead of only the beginning.
        """
        return text_encoder(name)

    def label_studio_object(self) -> str:
        """Label Studio's `Text` tag, which keeps line ends."""
        return '<Text name="content" value="$content"/>'

    def show(self, item: str, limit: int = 2000) -> str:
        """HTML of the escaped text, cut at `limit` characters."""
        cut = item if len(item) <= limit else item[:limit] + " …"
        return f'<div class="text">{html.escape(cut)}</div>'


def _script(text: str) -> str:
    """The most frequent script of the first 200 characters, such as `latin` or `cyrillic`; `none` without letters."""
    import unicodedata

    names = (unicodedata.name(c, "?").split()[0].lower() for c in text[:200] if c.isalpha())
    return (Counter(names).most_common(1) or [("none", 0)])[0][0]
