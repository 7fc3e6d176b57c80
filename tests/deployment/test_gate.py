"""Limits of time and of requests at once answer in the one shape, in an application that has nothing else."""

import asyncio
import threading
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import httpx
import pytest
from fastapi import FastAPI, Request
from fastapi.responses import JSONResponse

from ml_assets.deployment import gate, keys
from ml_assets.deployment.gate import answer_errors, files, read
from ml_assets.deployment.keys import KeyRing
from ml_assets.deployment.middleware import CrowdLimit, Pace, RefusalPace
from ml_assets.deployment.schemas import PredictRequest
from ml_assets.state.clock import now


def application(limit: int) -> FastAPI:
    app = FastAPI()
    answer_errors(app)
    app.add_middleware(CrowdLimit, limit=limit)

    @app.post("/")
    async def ask(request: Request) -> JSONResponse:
        body = await read(request, PredictRequest)
        return JSONResponse({"samples": len(body.samples)})

    return app


async def never() -> AsyncIterator[bytes]:
    yield b'{"samples"'
    await asyncio.Event().wait()


def client(app: FastAPI) -> httpx.AsyncClient:
    return httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://test")


def test_a_body_that_never_comes_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(gate, "BODY_SECONDS", 0.1)

    async def ask() -> httpx.Response:
        async with client(application(10)) as asking:
            return await asking.post("/", content=never())

    answer = asyncio.run(ask())
    assert (answer.status_code, set(answer.json())) == (400, {"error", "detail"})
    assert answer.json()["error"] == "the body did not come within 0.1 seconds"


def test_what_comes_while_too_many_are_under_way_is_refused_and_later_taken() -> None:
    async def ask() -> tuple[list[int], httpx.Response, int]:
        ready = asyncio.Event()

        async def slowly() -> AsyncIterator[bytes]:
            yield b'{"samples": '
            await ready.wait()
            yield b'["a"]}'

        async with client(application(2)) as asking:
            under_way = [asyncio.create_task(asking.post("/", content=slowly())) for _ in range(2)]
            await asyncio.sleep(0)
            refused = await asking.post("/", json={"samples": ["a"]})
            ready.set()
            done = [answer.status_code for answer in await asyncio.gather(*under_way)]
            return done, refused, (await asking.post("/", json={"samples": ["a"]})).status_code

    done, refused, later = asyncio.run(ask())
    assert (done, later) == ([200, 200], 200)
    assert (refused.status_code, refused.headers["retry-after"]) == (429, "1")
    assert refused.json() == {"error": "more than 2 requests at once: try again", "detail": None}


def test_requests_without_a_key_come_at_a_steady_pace_and_those_with_one_pass(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Of a flood some wait, those that would wait too long are refused, and who has a key is not held up."""
    path, slept = tmp_path / "keys.json", list[float]()
    secret = keys.add("mails", ["predict"], "app", now(), path)

    async def sleep(seconds: float) -> None:
        slept.append(round(seconds, 3))

    async def answers(count: int, headers: dict[str, str]) -> list[int]:
        async with client(app) as asking:
            return [(await asking.post("/", json={"samples": ["a"]}, headers=headers)).status_code for _ in range(count)]

    monkeypatch.setattr("ml_assets.deployment.middleware.asyncio.sleep", sleep)
    app = application(10)
    app.add_middleware(Pace, keys=KeyRing(path), per_second=10, burst=2, patience=0.3, clock=lambda: 7.0)
    assert asyncio.run(answers(7, {})) == [200, 200, 200, 200, 200, 200, 429]
    assert slept == [0.1, 0.2, 0.3]
    assert asyncio.run(answers(1, {"Authorization": "Bearer mla_guessed"})) == [429]
    assert asyncio.run(answers(3, {"Authorization": f"Bearer {secret}"})) == [200, 200, 200]


@pytest.mark.parametrize("large", [False, True])
@pytest.mark.parametrize("kind", ["json", "form"])
def test_large_bodies_are_taken_apart_in_another_thread(kind: str, large: bool) -> None:
    """In the event loop's own thread, nobody else would be answered meanwhile."""
    app, used = FastAPI(), list[str]()
    answer_errors(app)

    async def aside(work: Callable[..., Any], *arguments: Any) -> Any:
        def noted() -> Any:
            used.append(threading.current_thread().name)
            return work(*arguments)

        return await asyncio.to_thread(noted)

    @app.post("/")
    async def ask(request: Request) -> JSONResponse:
        sent = await files(request, aside) or (await read(request, PredictRequest, aside)).samples
        return JSONResponse([len(one) for one in sent])

    size = 2 * gate.SMALL_BODY if large else 10
    body: dict[str, Any] = {"json": {"samples": ["a" * size]}} if kind == "json" else {"files": [("files", b"a" * size)] * 2}

    async def post() -> tuple[httpx.Response, httpx.Response]:
        async with client(app) as asking:
            torn = (
                {"content": b'{"samples"' + b" " * size} if kind == "json" else {"files": [("other", ("", b"a" * size))] * 300}
            )
            return await asking.post("/", **body), await asking.post("/", **torn)

    good, bad = asyncio.run(post())
    assert good.json() == [size] * (1 if kind == "json" else 2)
    assert bad.status_code in (400, 422)
    assert set(bad.json()) == {"error", "detail"}
    assert bool(used) == large or (kind, len(used)) == ("form", 1)  # three hundred parts are a large form by themselves
    assert threading.current_thread().name not in used


def test_refusals_beyond_a_burst_come_at_a_steady_pace_and_answers_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    slept: list[float] = []

    async def sleep(seconds: float) -> None:
        slept.append(round(seconds, 3))

    async def refuse(scope: Any, receive: Any, send: Any) -> None:
        status = 200 if scope["path"] == "/good" else 429
        await JSONResponse({"status": status}, status)(scope, receive, send)

    monkeypatch.setattr("ml_assets.deployment.middleware.asyncio.sleep", sleep)
    app = RefusalPace(refuse, per_second=10, burst=2, patience=0.3, clock=lambda: 5.0)

    async def ask() -> list[int]:
        async with httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://test") as asking:
            paths = ["/good", *["/bad"] * 7, "/good"]
            return [(await asking.get(path)).json()["status"] for path in paths]

    assert asyncio.run(ask()) == [200, *[429] * 7, 200]
    assert slept == [0.1, 0.2, 0.3, 0.3], "two at once, then one every tenth of a second, none later than the patience says"
