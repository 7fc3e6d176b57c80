"""Limits of time and of requests at once answer in the one shape, in an application that has nothing else."""

import asyncio
from collections.abc import AsyncIterator

import httpx
import pytest
from fastapi import FastAPI, Request
from fastapi.responses import JSONResponse

from ml_assets.deployment import gate
from ml_assets.deployment.gate import CrowdLimit, answer_errors, read
from ml_assets.deployment.schemas import PredictRequest


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
