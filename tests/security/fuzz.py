"""Requests that a seed makes: every part of one may be anything. And media files to which anything has happened."""

import base64
import json
import random
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from . import media
from .target import ARROWS, LETTERS, NOISES, Target
from .wire import exchange

CONNECTIONS = 8
SECONDS = 60.0
"""After which a request that is not answered hangs; the endpoint itself gives one 30 for its body and 30 for the rest."""
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
Tick = Callable[[int], object]


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


def requests(target: Target, count: int, seed: int, tick: Tick = lambda _: None) -> Iterator[str]:
    """No request makes the endpoint fail: none is answered with a 5xx but 503, none hangs, every refusal has the same shape."""
    before = sorted(process.pid for process in target.workers())
    with ThreadPoolExecutor(CONNECTIONS) as pool:
        running: set[Future[str | None]] = set()
        for number in range(count):
            running.add(pool.submit(_try, target, f"{seed}-{number}"))
            if len(running) >= 4 * CONNECTIONS:
                done, running = wait(running, return_when=FIRST_COMPLETED)
                tick(len(done))
                yield from filter(None, (each.result() for each in done))
        yield from filter(None, (each.result() for each in running))
        tick(len(running))
    after = sorted(process.pid for process in target.workers())
    if after != before:
        yield f"processes of the endpoint ended: {before} became {after}"
    answer = target.client(LETTERS).post("/predict", json={"samples": ["The goalie saved it."]})
    if answer.status_code != 200:
        yield f"afterwards a prediction is answered {answer.status_code}: {answer.text[:100]}"


def collect_what_was_taken(target: Target) -> Iterator[str]:
    """What the endpoint acknowledged can be collected: one bad record does not stop a project."""
    for project in (LETTERS, ARROWS, NOISES):
        done = subprocess.run(
            [sys.executable, "-m", "security.collector", project], cwd=Path(__file__).parents[1], env=target.environment,
            capture_output=True, text=True, check=False,
        )  # fmt: skip
        if done.returncode:
            yield f"{project}: what was pushed cannot be collected ({done.returncode}): {done.stderr[-400:]}"


def files(count: int, seed: int, tick: Tick = lambda _: None, each: int = 250) -> Iterator[str]:
    """No media file crashes collection or makes it take much memory: it becomes a sample or a reject with a reason.

    Args:
        count: How many mutated files.
        seed: Of the first.
        tick: Told how many more are done.
        each: How many one process collects.
    """
    for first in range(0, count, each):
        kinds, project = (media.PICTURES, "image") if (first // each) % 2 == 0 else (media.SOUNDS, "audio")
        number = min(each, count - first)
        with tempfile.TemporaryDirectory(prefix="ml-assets-files-") as folder:
            for index in range(number):
                draw = random.Random(f"{seed}-{first + index}")
                (Path(folder) / f"{first + index:06}").write_bytes(media.mutated(draw, kinds))
            done = subprocess.run(
                [sys.executable, "-m", "security.collector", project, folder], cwd=Path(__file__).parents[1],
                capture_output=True, text=True, check=False,
            )  # fmt: skip
        if done.returncode:
            last = (done.stderr.strip().splitlines() or ["nothing"])[-1][:300]
            yield f"files {first} to {first + number} of seed {seed} ({project}): ended with {done.returncode}: {last}"
        tick(number)


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


def _try(target: Target, seed: str) -> str | None:
    """What is wrong with the answer."""
    asked = make(target, seed)
    try:
        status, _, body = exchange(target.ports["endpoint"], asked.request, SECONDS)
    except TimeoutError:
        return f"{seed}: no answer within {SECONDS:g} s to {asked.request[:100]!r}"
    if problem := wrong(status, body, asked.whole, asked.request.startswith(b"HEAD")):
        return f"{seed}: {problem}, to {asked.request[:100]!r}"
    return None


def wrong(status: int, body: bytes, whole: bool, head: bool) -> str | None:
    """What is wrong with an answer, in a few words."""
    if status == 0:
        return "the connection was closed without an answer" if whole else None
    if status >= 500 and status != 503:
        return f"answered {status}: {body[:100]!r}"
    if b"Traceback" in body:
        return "a traceback was answered"
    if status >= 400 and not head:
        try:
            told = json.loads(body)
        except ValueError:
            return f"answered {status} and no JSON: {body[:100]!r}"
        if not isinstance(told, dict) or not isinstance(told.get("error"), str) or told.keys() - {"error", "detail"}:
            return f"answered {status} in another shape: {body[:100]!r}"
    return None


# ---- parts of requests ----


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
            'form-data; name="' + "a" * 9000 + '"', 'form-data; name="x"; filename="../../x"', "form-data; name=files; filename*=utf-8''%ff%00", "x", "",
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
