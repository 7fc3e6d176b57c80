"""Detects the format of a file by its first bytes, independent of its name."""

import re

_BEGINNINGS: tuple[tuple[str, str], ...] = (
    (r"\x89PNG\r\n\x1a\n", "PNG"),
    (r"\xff\xd8\xff", "JPEG"),
    (r"RIFF....WEBP", "WebP"),
    (r"GIF8[79]a", "GIF"),
    (r"BM.{4}\0\0\0\0", "BMP"),
    (r"RIFF....WAVE|RF64....WAVE", "WAV"),
    (r"fLaC", "FLAC"),
    (r"OggS", "OGG"),
    (r"II\*\0|MM\0\*", "TIFF"),
    (r"....ftyp(avif|avis)", "AVIF"),
    (r"....ftyp(heic|heix|mif1|msf1)", "HEIC"),
    (r"....ftyp", "MP4"),
    (r"\x1aE\xdf\xa3", "WebM"),
    (r"FORM....AIF", "AIFF"),
    (r"8BPS", "PSD"),
    (r"\0\0[\1\2]\0", "ICO"),
    (r"\0\0\0\x0cjP  |\xff\x4f\xff\x51", "JPEG 2000"),
    (r"%PDF", "PDF"),
    (r"PK[\3\5]", "ZIP"),
    (r"\x1f\x8b", "gzip"),
    (r"ID3|\xff[\xe2\xe3\xf2-\xf7\xfa\xfb]", "MP3"),
)
_PATTERNS = tuple((re.compile(pattern.encode("latin-1"), re.DOTALL), name) for pattern, name in _BEGINNINGS)
_SVG = re.compile(rb"<svg[\s>]", re.IGNORECASE)
_HTML = re.compile(rb"<(!doctype html|html|head|body|script)\b", re.IGNORECASE)
_MARKUP = re.compile(rb"(\xef\xbb\xbf)?\s*<")
_START = 2048


def signature(content: bytes) -> str | None:
    """Name of the format that the first bytes indicate, such as `PNG`; `text` for text; None if unknown."""
    for pattern, name in _PATTERNS:
        if pattern.match(content):
            return name
    start = content[:_START]
    if _MARKUP.match(start):
        for pattern, name in ((_SVG, "SVG"), (_HTML, "HTML")):
            if pattern.search(start):
                return name
    try:
        text = start.decode("utf-8")
    except UnicodeDecodeError as error:
        if error.start < len(start) - 3 or error.start == 0:  # otherwise only the last character is cut off
            return None
        text = start[: error.start].decode("utf-8")
    return "text" if text.strip() and all(c.isprintable() or c.isspace() for c in text) else None
