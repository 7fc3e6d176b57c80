"""What a request may cost is bounded before it is paid: bodies, values, pixels, sounds; documents are made once."""

import asyncio
import base64
import io
import json
import time
import zlib
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import pytest
import soundfile
from fastapi import FastAPI, Request
from starlette.responses import JSONResponse

from ml_assets.deployment import crowd, gate, intake, metrics, schemas
from ml_assets.deployment.crowd import Crowd, Most
from ml_assets.deployment.gate import Refused, answer_errors, read
from ml_assets.deployment.keys import Key
from ml_assets.deployment.predictor import MOST_WORK
from ml_assets.modalities import MODALITIES, Undecodable
from ml_assets.modalities.files.image import SCAN, work

from .inside import inside, key
from .serving import PROJECT, make_model


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_model(tmp_path_factory.mktemp("model"), "letters-1", 1)


@pytest.fixture(autouse=True)
def own_home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("ML_ASSETS_HOME", str(tmp_path))
    return tmp_path


def png(width: int, height: int, depth: int = 1, colour: int = 0) -> bytes:
    """A PNG file that is all black, written by its rows: a few kilobytes, whatever its size."""

    def chunk(name: bytes, data: bytes) -> bytes:
        return len(data).to_bytes(4, "big") + name + data + zlib.crc32(name + data).to_bytes(4, "big")

    channels = {0: 1, 2: 3, 6: 4}[colour]
    row, packed = bytes(1 + (width * depth * channels + 7) // 8), zlib.compressobj(9)
    data = b"".join(packed.compress(row) for _ in range(height)) + packed.flush()
    head = width.to_bytes(4, "big") + height.to_bytes(4, "big") + bytes([depth, colour, 0, 0, 0])
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", head) + chunk(b"IDAT", data) + chunk(b"IEND", b"")


def silence(seconds: int, rate: int, channels: int) -> bytes:
    file = io.BytesIO()
    soundfile.write(file, np.zeros((seconds * rate, channels), np.int16), rate, format="FLAC")
    return file.getvalue()


@pytest.mark.parametrize(
    "body",
    [
        '{"samples": [{"content": "a", "columns": {"x": NaN}}]}',
        '{"samples": [{"content": "a", "columns": {"x": [-Infinity]}}]}',
        '{"samples": [{"content": "a", "columns": {"x": 1e999}}]}',
        '{"samples": [{"content": "a", "columns": {"x": 1' + "0" * 5000 + "}}]}",
        '{"samples": [{"content": "a", "columns": {"x\\u0000": 1}}]}',
        '{"samples": [{"content": "a", "group": "a\\u0000b"}]}',
        '{"samples": [{"content": "a", "label": NaN}]}',
        '{"samples": [{"content": "a", "label": "space", "labeler": "a\\u0000b"}]}',
        '{"samples": [{"content": {"price": NaN}}]}',
        '{"samples": [{"content": {"price": 1' + "0" * 5000 + "}}]}",
    ],
)
def test_what_tables_cannot_hold_is_refused_at_the_door(model: Path, own_home: Path, body: str) -> None:
    async def ask(client: httpx.AsyncClient) -> httpx.Response:
        return await client.post(f"/{PROJECT}/samples", content=body)

    answer = inside(model, ask, key(PROJECT))
    assert answer.status_code in (400, 422), answer.text  # 400: no JSON reader takes numbers of thousands of digits
    assert list(own_home.rglob("*.jsonl")) == []


@pytest.mark.parametrize("half", ["\\ud800", "\\udfff", "a\\u0000b"])
def test_a_mixed_sample_with_half_a_surrogate_pair_is_no_sample(half: str) -> None:
    mixed = MODALITIES.parse({"type": "mixed", "parts": {"body": "text", "kind": "category"}})
    for part in ("body", "kind"):
        with pytest.raises(Undecodable, match=part):
            mixed.decode(f'{{"{part}": "{half}"}}')
    assert json.loads(mixed.decode('{"kind": "\\ud83d\\ude42"}')) == {"kind": "🙂"}


@pytest.mark.parametrize("content", ["[" * 100_000, '{"price": ' + "1" * 5000 + "}", '{"price": 1e999}', '{"price": {}}'])
def test_deep_and_huge_numbers_in_mixed_samples_are_refused_in_a_sentence(content: str) -> None:
    mixed = MODALITIES.parse({"type": "mixed", "parts": {"price": "number"}})
    assert mixed.work(content) >= 0
    with pytest.raises(Undecodable):
        mixed.decode(content)


def test_millions_of_values_are_refused_before_they_are_read(model: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(gate, "MAX_VALUES", 1000)
    bodies = ['{"samples": [' + ",".join(['""'] * 2000) + "]}", "[" * 2000, '{"samples": [' + "{}," * 2000]

    async def ask(client: httpx.AsyncClient) -> list[int]:
        return [(await client.post(f"/{PROJECT}/predict", content=body)).status_code for body in bodies]

    assert inside(model, ask, key(PROJECT)) == [413, 413, 413]


def test_a_bomb_of_pixels_is_told_by_its_header(monkeypatch: pytest.MonkeyPatch) -> None:
    bomb, image = png(20_000, 20_000), MODALITIES.parse({"type": "image", "max_pixels": 500_000_000})
    assert len(bomb) < 100_000
    assert image.work(bomb) > MOST_WORK
    with pytest.raises(Refused, match="too much to decode") as caught:
        intake.check_work([png(10, 10), bomb], image.work)
    assert caught.value.status == 422
    monkeypatch.setattr("PIL.ImageFile.ImageFile.load", lambda _: pytest.fail("it was unpacked"))
    with pytest.raises(Undecodable, match="pixels: at most 80,000,000 are allowed"):
        image.bounded(MOST_WORK).decode(bomb)


def test_many_pictures_cost_together_and_so_do_the_parts_of_mixed_samples() -> None:
    large = png(5000, 5000)
    image = MODALITIES.parse("image")
    intake.check_work([large] * 3, image.work)
    with pytest.raises(Refused, match=r"samples\.3 and those before it"):
        intake.check_work([large] * 4, image.work)
    mixed = MODALITIES.parse({"type": "mixed", "parts": {f"p{n}": "image" for n in range(4)}})
    text = base64.b64encode(large).decode()
    parts: Callable[[int], str] = lambda count: json.dumps({f"p{n}": text for n in range(count)})  # noqa: E731
    intake.check_work([parts(3)], mixed.work)
    with pytest.raises(Refused, match="too much to decode"):
        intake.check_work([parts(4)], mixed.work)
    for broken in ("", "\x89PNG\r\n\x1a\n", "x" * 100, large[:40]):
        content = broken if isinstance(broken, bytes) else broken.encode("latin-1")
        assert image.work(content) in (0.0, 25_000_000.0)


def test_a_jpeg_file_costs_as_often_as_its_scans_pass_over_it() -> None:
    from PIL import Image

    file = io.BytesIO()
    Image.new("RGB", (1000, 1000)).save(file, "JPEG", progressive=True)
    usual = file.getvalue()
    assert work(usual) == 1_000_000
    assert work(usual + SCAN * 1200) > 90_000_000


def test_long_sounds_of_many_channels_are_told_by_their_header() -> None:
    audio = MODALITIES.parse("audio")
    long = silence(600, 48_000, 4)
    assert len(long) < 1_000_000
    assert audio.work(long) == 600 * 48_000 * 4
    with pytest.raises(Undecodable, match="samples, of all channels"):
        audio.bounded(1_000_000).decode(long)
    unknown = bytearray(long)  # a stream that does not say how long it is
    unknown[21] &= 0xF0
    unknown[22:26] = bytes(4)
    with pytest.raises(Undecodable, match=r"samples, of all channels|broken"):
        audio.bounded(1_000_000).decode(bytes(unknown))
    with pytest.raises(Refused, match="too much to decode"):
        intake.check_work([long], audio.work)


def test_deep_pictures_take_no_gigabytes() -> None:
    """16 bits a pixel: as floating point numbers, all at once, they took twenty bytes each."""
    import tracemalloc

    from ml_assets.modalities.files.image import pixels

    deep = png(4000, 4000, depth=16)
    tracemalloc.start()
    assert pixels(deep, 8, 8).shape == (8, 8, 3)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 4000 * 4000 * 6


def test_the_documents_are_made_once_and_again_only_for_another_deployment(
    model: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = []
    real = schemas.document
    monkeypatch.setattr(schemas, "document", lambda *arguments: made.append(1) or real(*arguments))
    secret = key(PROJECT)

    async def ask(client: httpx.AsyncClient) -> list[httpx.Response]:
        strangers = [await client.get("/docs.json") for _ in range(5)]
        headers = {"Authorization": f"Bearer {secret}"}
        return [*strangers, *[await client.get("/docs.json", headers=headers) for _ in range(5)]]

    answers = inside(model, ask)
    assert len(made) == 2
    assert {answer.status_code for answer in answers} == {200}
    assert (PROJECT in answers[0].text, PROJECT in answers[5].text) == (False, True)


def test_the_metrics_of_strangers_are_counted_up_once_however_often_they_ask(
    model: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from ml_assets.deployment import endpoint

    made = []
    real = metrics.exposition
    monkeypatch.setattr(endpoint, "exposition", lambda project: made.append(project) or real(project))
    monkeypatch.setattr(endpoint, "METRICS_SECONDS", 1000)

    async def ask(client: httpx.AsyncClient) -> set[int]:
        return {answer.status_code for answer in await asyncio.gather(*[client.get("/metrics") for _ in range(20)])}

    assert inside(model, ask) == {200}
    assert made == [None]


def test_no_body_is_read_without_a_key(model: Path) -> None:
    read_from = []

    async def body() -> AsyncIterator[bytes]:
        read_from.append(1)
        yield b"{}"

    async def ask(client: httpx.AsyncClient) -> list[int]:
        paths = ("predict", "samples", "labels", "feedback")
        return [(await client.post(f"/{PROJECT}/{path}", content=body())).status_code for path in paths]

    assert inside(model, ask) == [401] * 4
    assert read_from == []


def application(limits: Crowd, clients: dict[str, Key]) -> FastAPI:
    """An application that does nothing but read the bodies of its clients."""
    app = FastAPI()
    answer_errors(app)

    @app.post("/{who}")
    async def ask(request: Request, who: str) -> JSONResponse:
        with limits.enter(clients[who], request) as bounded:
            body = await read(bounded, schemas.PredictRequest)
            return JSONResponse({"samples": len(body.samples)})

    return app


def clients(*names: str) -> dict[str, Key]:
    """Keys whose names are `<project>-<n>`."""
    return {name: Key(name, name.partition("-")[0], ("predict",), name, "", "") for name in names}


async def dripping(gate_: asyncio.Event) -> AsyncIterator[bytes]:
    yield b'{"samples": '
    await gate_.wait()
    yield b'["a"]}'


def test_slow_bodies_of_one_project_leave_room_for_the_others() -> None:
    async def run() -> tuple[list[int], list[int], int, dict[str, Any]]:
        most, go = Most(of_key=2, of_project=3), asyncio.Event()
        app = application(Crowd(most), clients("a-1", "a-2", "b-1"))
        async with httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://test") as client:
            slow = [asyncio.create_task(client.post(f"/{who}", content=dripping(go))) for who in ("a-1", "a-1", "a-2")]
            await asyncio.sleep(0.05)
            refused = [await client.post(f"/{who}", json={"samples": ["a"]}) for who in ("a-1", "a-2")]
            other = await client.post("/b-1", json={"samples": ["a"]})
            go.set()
            done = [answer.status_code for answer in await asyncio.gather(*slow)]
            again = await client.post("/a-1", json={"samples": ["a"]})
            return done, [answer.status_code for answer in refused], other.status_code, again.json()

    assert asyncio.run(run()) == ([200] * 3, [429] * 2, 200, {"samples": 1})


def test_bytes_under_way_of_one_project_leave_room_for_the_others() -> None:
    async def large(gate_: asyncio.Event) -> AsyncIterator[bytes]:
        yield b'{"samples": ["' + b"x" * 800
        await gate_.wait()
        yield b'"]}'

    async def run() -> tuple[list[int], int, int, int]:
        go, most = asyncio.Event(), Most(project_bytes=1000, all_bytes=2500)
        app = application(Crowd(most), clients("a-1", "b-1"))
        async with httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://test") as client:
            slow = [asyncio.create_task(client.post("/a-1", content=large(go)))]
            await asyncio.sleep(0.05)
            refused = await client.post("/a-1", json={"samples": ["x" * 300]})
            other = await client.post("/b-1", json={"samples": ["x" * 300]})
            go.set()
            done = [answer.status_code for answer in await asyncio.gather(*slow)]
            again = await client.post("/a-1", json={"samples": ["x" * 900]})
            return done, refused.status_code, other.status_code, again.status_code

    assert asyncio.run(run()) == ([200], 429, 200, 200)


def test_a_project_whose_bodies_come_fast_is_slowed_down_beyond_a_burst_and_the_others_are_not() -> None:
    """Reading bodies takes a worker's time, of which nothing would be left for others."""
    now = 100.0
    crowd = Crowd(Most(project_bytes=4000, project_rate=1000.0), clock=lambda: now)
    assert [crowd.wait("a", 500) for _ in range(4)] == [0, 0, 0.5, 1.0]
    assert crowd.wait("b", 1000) == 0
    now += 2.0
    assert crowd.wait("a", 500) == 0
    assert crowd.wait("a", 600) == pytest.approx(0.1)


def test_a_body_that_drips_is_given_up_and_one_that_comes_at_a_fair_rate_is_read() -> None:
    async def slowly(parts: int) -> AsyncIterator[bytes]:
        yield b'{"samples": ["'
        for _ in range(parts):
            await asyncio.sleep(0.02)
            yield b"x" * 200
        yield b'"]}'

    async def run(rate: float) -> int:
        limits = Crowd(Most(patience=0.1, bytes_per_second=rate))
        app = application(limits, clients("a-1"))
        async with httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://test") as client:
            return (await client.post("/a-1", content=slowly(40))).status_code

    assert asyncio.run(run(1e9)) == 408
    assert asyncio.run(run(10)) == 200


def test_a_client_that_hangs_up_is_no_fault_of_the_endpoint(model: Path, caplog: pytest.LogCaptureFixture) -> None:
    """Counted as 499, and nothing in the log."""

    async def hang_up(app: Any, secret: str) -> None:
        messages = iter([{"type": "http.request", "body": b'{"sam', "more_body": True}, {"type": "http.disconnect"}])

        async def receive() -> Any:
            return next(messages)

        async def send(_: Any) -> None:
            pass

        scope = {
            "type": "http", "asgi": {"version": "3.0"}, "http_version": "1.1", "method": "POST", "path": f"/{PROJECT}/predict",
            "raw_path": f"/{PROJECT}/predict".encode(), "query_string": b"", "root_path": "", "scheme": "http",
            "headers": [(b"authorization", f"Bearer {secret}".encode())], "client": ("127.0.0.1", 1), "server": ("test", 80),
        }  # fmt: skip
        await app(scope, receive, send)

    async def ask(client: httpx.AsyncClient) -> tuple[float, float]:
        def counted(status: str) -> float:
            return metrics.REQUESTS.labels("predict", status)._value.get()  # type: ignore[no-any-return]

        before = counted("499"), counted("500")
        await hang_up(client._transport.app, secret)  # type: ignore[attr-defined]
        return counted("499") - before[0], counted("500") - before[1]

    secret = key(PROJECT)
    assert inside(model, ask, secret) == (1, 0)
    assert [record.message for record in caplog.records if record.levelname in ("ERROR", "CRITICAL")] == []


def test_the_rate_of_slow_bodies_is_measured_by_a_clock_that_never_goes_back() -> None:
    assert Crowd()._clock is time.monotonic
    assert crowd.BODY_SECONDS == gate.BODY_SECONDS
