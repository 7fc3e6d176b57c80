"""Requests that a seed makes: every part of one may be anything."""

import base64
import json
import random
from dataclasses import dataclass
from typing import Any

from . import media
from .target import ARROWS, LETTERS, NOISES, Target

METHODS = ("GET", "HEAD", "PUT", "PATCH", "DELETE", "OPTIONS", "TRACE", "CONNECT", "post", "PROPFIND", "A" * 300)
TEXTS = (
    "", " ", "\0",
    "é", "\ud800", "\udfff\ud800", "😀" * 50, "\u202e", "a" * 200_000, "<script>alert(1)</script>", "=cmd|'/c'!A1",
    "../../etc/passwd",
    "%00", "\r\nX-Injected: 1", "null", "NaN", "published", "admin@localhost.example", "' OR 1=1 --", "\ufeff",
    "A" * 15 + "=", "data:image/png;base64,AAAA", "0" * 32, "\u0000\u0001\u001f", "ﷺ" * 1000,
)  # fmt: skip
NUMBERS: tuple[Any, ...] = (0, -1, 1, 2**31, 2**63, 2**64, -(2**63) - 1, 10**400, 0.1, -0.0, 1e308, 1e-320, True, False, None)
LITERALS = (
    "NaN",
    "Infinity",
    "-Infinity",
    "1e999",
    "0x10",
    "01",
    "'a'",
    "undefined",
    "\\ud800",
    '"\\ud800"',
    "[" * 500,
    "{" * 500,
)
PATHS = (
    "/", "//", "/docs.json", "/metrics", "/livez", "/readyz", "/*", "*", "/" + "a" * 9000, "/%00", "/%ff/predict", "/é/predict",
    "/..%2f..%2fetc/passwd", "http://evil.example/x", "/letters%0d%0aX: 1", "/letters/predict/predict", "/letters",
)  # fmt: skip
KEYS = ("", "Bearer", "Bearer ", "Basic é", "bearer x", "Bearer \xff\xfe", "Bearer " + "a" * 9000, "\x01")
NAMES = (
    "Content-Type", "Accept", "Accept-Encoding", "Content-Encoding", "Expect", "Range", "Cookie", "Origin", "X-Forwarded-For",
    "Traceparent", "Host", "If-None-Match", "Upgrade", "X-" + "a" * 3000,
)  # fmt: skip
VALUES = (
    "", "gzip", "100-continue", "*/*", "application/json; charset=utf-16", "é", "a" * 8000, "bytes=0-", "text/plain",
    "application/json", "multipart/form-data", "image/png", "-1", "identity;q=0",
)  # fmt: skip


@dataclass(frozen=True)
class Asked:
    """One request.

    Args:
        seed: With which it is made again.
        whole: Whether it is a request at all, so that an answer is due.
    """

    seed: str
    request: bytes
    whole: bool


def make(target: Target, seed: str) -> Asked:
    """The request of a seed."""
    draw = random.Random(seed)
    project = draw.choice((LETTERS, ARROWS, NOISES))
    kind = draw.choices(("json", "broken", "media", "form", "head", "bytes"), (40, 15, 20, 10, 12, 3))[0]
    if kind == "bytes":
        return Asked(seed, _noise(draw), False)
    method, path = "POST", f"/{project}/{draw.choice(('predict', 'samples', 'labels', 'feedback'))}"
    headers = {"Host": "127.0.0.1", "Connection": "close", "Authorization": f"Bearer {target.keys[project]}"}
    if kind == "media":
        content = media.mutated(draw, media.SOUNDS if project == NOISES else media.PICTURES)
        if draw.random() < 0.3:
            body = json.dumps({"samples": [_base64(content, draw)]}).encode()
            headers["Content-Type"] = "application/json"
        else:
            body, headers["Content-Type"] = content, draw.choice(("image/png", "audio/wav", "application/octet-stream"))
        path = f"/{project}/{draw.choice(('predict', 'predict', 'samples'))}"
    elif kind == "form":
        body, headers["Content-Type"] = _form(draw, project)
    else:
        text = json.dumps(_body(draw, path))
        if kind == "broken":
            text = _broken(text, draw)
        body, headers["Content-Type"] = text.encode("utf-8", "surrogatepass"), "application/json"
    if kind == "head":
        method, path, headers, body = _head(draw, method, path, headers, body)
    return Asked(seed, _written(method, path, headers, body), "\r\n" not in path and " " not in path)


def _body(draw: random.Random, path: str) -> Any:
    """A body that fits the path, most of the time with something else in one place or more."""
    route = path.rsplit("/", 1)[-1]
    body: Any = {
        "predict": {"samples": [_value(draw) for _ in range(draw.randint(0, 3))]},
        "samples": {"samples": [_sample(draw) for _ in range(draw.randint(0, 3))]},
        "labels": {"labels": [_label(draw) for _ in range(draw.randint(0, 3))]},
        "feedback": {"prediction_id": draw.choice(("0" * 32, *TEXTS)), "label": _value(draw)},
    }[route]
    if draw.random() < 0.2:
        body[draw.choice(("samples", "extra", "", "__proto__", "label"))] = _value(draw)
    return _value(draw) if draw.random() < 0.1 else body


def _sample(draw: random.Random) -> Any:
    found = {
        "content": _value(draw),
        "label": _value(draw),
        "labeler": _value(draw),
        "group": _value(draw),
        "columns": _value(draw),
    }
    kept = {name: value for name, value in found.items() if name == "content" or draw.random() < 0.4}
    return kept if draw.random() < 0.7 else _value(draw)


def _label(draw: random.Random) -> Any:
    found = {"content": _value(draw), "sample_id": _value(draw), "label": _value(draw), "labeler": _value(draw),
             "labeler_kind": draw.choice(("person", "program", "published", "x", 1))}  # fmt: skip
    return {name: value for name, value in found.items() if draw.random() < 0.7}


def _value(draw: random.Random, depth: int = 0) -> Any:
    """Anything that JSON can hold, and texts that it can hold only escaped."""
    kind = draw.random()
    if kind < 0.4:
        return draw.choice(TEXTS)
    if kind < 0.5:
        return "".join(chr(draw.randrange(0x110000)) for _ in range(draw.randrange(20)))
    if kind < 0.6:
        return draw.choice(("hockey", "space", "med", "The goalie saved it."))
    if kind < 0.75 or depth > 3:
        return draw.choice(NUMBERS)
    if kind < 0.85:
        return [_value(draw, depth + 1) for _ in range(draw.randrange(4))]
    if kind < 0.88:
        return json.loads("[" * (nested := draw.choice((10, 100, 400))) + "]" * nested)
    return {draw.choice((*TEXTS[:12], "content", "text", "label")): _value(draw, depth + 1) for _ in range(draw.randrange(4))}


def _broken(text: str, draw: random.Random) -> str:
    """The text of JSON, cut, mixed up, or with something that only looks like JSON."""
    at = draw.randrange(len(text) + 1)
    change = draw.randrange(4)
    if change == 0:
        return text[:at]
    if change == 1:
        return text[:at] + draw.choice(LITERALS) + text[at:]
    if change == 2:
        return text[:at] + draw.choice(TEXTS) + text[at + draw.randrange(5) :]
    return text + text


def _base64(content: bytes, draw: random.Random) -> str:
    text = base64.b64encode(content).decode()
    at = draw.randrange(len(text) + 1)
    return draw.choice(
        (text, text[:at], text[:at] + "\n" + text[at:], text + "=", text.replace("A", "-"), text[:at] + "é" + text[at:])
    )


def _form(draw: random.Random, project: str) -> tuple[bytes, str]:
    """A form, often with a boundary, a name or a header that is not as it should be."""
    boundary = draw.choice(("x", "x" * 70, "é", "", "--", "a b", "x" * 5000))
    parts = []
    for _ in range(draw.randint(0, 4)):
        disposition = draw.choice((
            'form-data; name="files"; filename="a"', 'form-data; name="files"', "form-data",
            'form-data; name="' + "a" * 9000 + '"',
            'form-data; name="x"; filename="../../x"', "form-data; name=files; filename*=utf-8''%ff%00", "x", "",
        ))  # fmt: skip
        content = media.mutated(draw, media.SOUNDS if project == NOISES else media.PICTURES)
        parts.append(f"--{boundary}\r\nContent-Disposition: {disposition}\r\n\r\n".encode() + content + b"\r\n")
    body = b"".join(parts) + draw.choice((f"--{boundary}--\r\n", "", f"--{boundary}", "--\r\n")).encode()
    if draw.random() < 0.3:
        body = body[: draw.randrange(len(body) + 1)]
    kind = f"multipart/form-data; boundary={boundary}"
    return body, draw.choice((kind, kind, kind, "multipart/form-data", kind + "; boundary=y", "multipart/mixed; boundary=x"))


def _head(
    draw: random.Random, method: str, path: str, headers: dict[str, str], body: bytes
) -> tuple[str, str, dict[str, str], bytes]:
    """Another method, path or header than there should be."""
    for _ in range(draw.randint(1, 3)):
        change = draw.randrange(4)
        if change == 0:
            method = draw.choice(METHODS)
        elif change == 1:
            path = draw.choice(
                (*PATHS, path + "/", path + "?" + "x=1&" * 500, path + "#x", path.replace("/", "//"), path.upper())
            )
        elif change == 2:
            headers = headers | {"Authorization": draw.choice(KEYS)}
        else:
            headers = headers | {draw.choice(NAMES): draw.choice(VALUES)}
    if method in ("HEAD", "GET", "CONNECT", "TRACE", "OPTIONS"):
        body = b"" if draw.random() < 0.5 else body
    return method, path, headers, body


def _written(method: str, path: str, headers: dict[str, str], body: bytes) -> bytes:
    lines = "".join(f"{name}: {value}\r\n" for name, value in (headers | {"Content-Length": str(len(body))}).items())
    return f"{method} {path} HTTP/1.1\r\n{lines}\r\n".encode("utf-8", "surrogateescape") + body


def _noise(draw: random.Random) -> bytes:
    """Bytes that are no request; they end as one, so that nobody waits for more."""
    return draw.choice((
        draw.randbytes(draw.randint(1, 500)) + b"\r\n\r\n",
        b"GET / HTTP/9.9\r\n\r\n",
        b"GET  / HTTP/1.1\r\n\r\n",
        b"GET / HTTP/1.1\r\nno colon\r\n\r\n",
        b"GET / HTTP/1.1\r\n folded: x\r\n\r\n",
        b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
        b"POST / HTTP/1.1\r\nContent-Length: -1\r\n\r\n",
        b"POST / HTTP/1.1\r\nContent-Length: 99999999999999999999999\r\n\r\n",
        b"POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n\r\n",
        b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + draw.randbytes(200) + b"\r\n\r\n",
    ))  # fmt: skip
