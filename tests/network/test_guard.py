"""Who is let in by the guard before Dagster, MLflow and the explorer."""

import asyncio
import functools
import json
import threading
from collections.abc import Iterator
from typing import Any

import httpx
import pytest
import uvicorn
from stranger import NOBODY, as_stranger, needs_root

from ml_assets.network.guard import Guard
from ml_assets.network.http_limits import LimitedProtocol

OWN = "127.0.0.1:3000"
JSON = {"content-type": "application/json"}


async def application(scope: Any, receive: Any, send: Any) -> None:
    """Says yes to everybody."""
    if scope["type"] == "websocket":
        await send({"type": "websocket.accept"})
    elif scope["type"] == "http":
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await send({"type": "http.response.body", "body": b"yes"})


@pytest.fixture(autouse=True)
def dagster(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("ML_ASSETS_HOSTS", "ML_ASSETS_SHARED"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("ML_ASSETS_DAGSTER_PORT", "3000")


def asked(headers: dict[str, str], method: str = "GET", path: str = "/", kind: str = "http", json_only: bool = True) -> Any:
    """The first message of the answer to a request of this user, and the sentence if it was refused."""
    sent: list[Any] = []

    async def receive() -> Any:
        return {"type": "websocket.connect"}

    async def send(message: Any) -> None:
        sent.append(message)

    scope = {
        "type": kind, "method": method, "path": path, "client": None, "server": None,
        "headers": [(name.encode(), value.encode()) for name, value in ({"host": OWN} | headers).items()],
    }  # fmt: skip
    guard = Guard(application, "dagster", json_only=json_only, no_query=("/graphql",))
    asyncio.run(guard(scope, receive, send))
    if kind == "websocket":
        return sent[0]["type"]
    return sent[0]["status"], json.loads(sent[1]["body"])["error"] if sent[0]["status"] == 403 else ""


@pytest.mark.parametrize(
    "host", ["evil.example", "evil.example:3000", "127.0.0.1:3001", "127.0.0.1", "", "127.0.0.1:3000.evil"]
)
def test_another_host_is_refused(host: str) -> None:
    assert asked({"host": host}) == (403, f"{host!r} is no name of this server: name it in ML_ASSETS_HOSTS if it is")


def test_its_own_names_and_those_that_are_given_are_let_in(monkeypatch: pytest.MonkeyPatch) -> None:
    for host in (OWN, "localhost:3000", "LOCALHOST:3000", "[::1]:3000"):
        assert asked({"host": host})[0] == 200
    monkeypatch.setenv("ML_ASSETS_HOSTS", "ml.example.org, localhost:9000")
    for host in ("ml.example.org", "localhost:9000", OWN):
        assert asked({"host": host, "origin": f"https://{host}"})[0] == 200
    assert asked({"host": "ml.example.com"})[0] == 403


@pytest.mark.parametrize("origin", ["http://evil.example", "null", "http://127.0.0.1:8080", "http://127.0.0.1:3000.evil", ""])
@pytest.mark.parametrize("method", ["GET", "POST", "OPTIONS"])
def test_pages_of_other_origins_are_refused(origin: str, method: str) -> None:
    assert asked({"origin": origin, **JSON}, method) == (403, f"a page of {origin!r} may not use this server")
    assert asked({"origin": origin}, kind="websocket") == "websocket.close"


def test_its_own_pages_are_let_in() -> None:
    page = {"origin": f"http://{OWN}", "sec-fetch-site": "same-origin", **JSON}
    assert asked(page, "POST", "/graphql")[0] == 200
    assert asked(page, kind="websocket") == "websocket.accept"


@pytest.mark.parametrize("site", ["cross-site", "same-site", "anything"])
def test_pages_of_other_sites_may_link_and_not_use(site: str) -> None:
    assert asked({"sec-fetch-site": site})[0] == 403
    assert asked({"sec-fetch-site": site, "sec-fetch-mode": "no-cors", "sec-fetch-dest": "image"})[0] == 403
    assert asked({"sec-fetch-site": site, "sec-fetch-mode": "navigate", "sec-fetch-dest": "iframe"})[0] == 403
    link = {"sec-fetch-site": site, "sec-fetch-mode": "navigate", "sec-fetch-dest": "document"}
    assert asked(link)[0] == 200
    assert asked(link | JSON, "POST")[0] == 403
    assert asked(link, path="/graphql")[0] == 403


@pytest.mark.parametrize("method", ["POST", "PUT", "PATCH", "DELETE"])
@pytest.mark.parametrize(
    "kind", [None, "text/plain", "text/plain; application/json", "application/graphql", "multipart/form-data"]
)
def test_what_changes_something_must_be_json(method: str, kind: str | None) -> None:
    headers = {"content-type": kind} if kind else {}
    assert asked(headers, method, "/report_asset_materialization/a")[0] == 403
    assert asked({"content-type": "application/json; charset=utf-8"}, method)[0] == 200


@pytest.mark.parametrize("kind", ["text/plain", "application/x-www-form-urlencoded", "multipart/form-data; boundary=a"])
def test_what_a_form_can_send_is_refused_also_where_files_are_taken(kind: str) -> None:
    assert asked({"content-type": kind}, "POST", json_only=False)[0] == 403
    assert asked({"content-type": "application/octet-stream"}, "PUT", json_only=False)[0] == 200


@pytest.mark.parametrize("path", ["/graphql", "/graphql/"])
def test_a_query_that_is_read_is_refused_and_the_page_shown(path: str) -> None:
    assert asked({"accept": "image/*"}, path=path) == (403, "queries are sent by POST")
    assert asked({}, "HEAD", path)[0] == 403
    assert asked({"accept": "text/html,*/*"}, path=path)[0] == 200


def test_a_header_that_came_twice_is_none_that_is_let_in() -> None:
    sent: list[Any] = []

    async def send(message: Any) -> None:
        sent.append(message)

    scope = {"type": "http", "method": "GET", "path": "/", "headers": [(b"host", OWN.encode()), (b"Host", b"evil.example")]}
    asyncio.run(Guard(application, "dagster")(scope, send, send))  # type: ignore[arg-type]
    assert sent[0]["status"] == 403


@pytest.fixture
def address(monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """A guarded server on a free port, in a thread of this process."""
    config = uvicorn.Config(application, port=0, http=LimitedProtocol, log_level="critical", proxy_headers=False)
    with config.bind_socket() as listening:
        number = listening.getsockname()[1]
        monkeypatch.setenv("ML_ASSETS_DAGSTER_PORT", str(number))
        config.app = Guard(application, "dagster")
        server = uvicorn.Server(config)
        thread = threading.Thread(target=server.run, args=([listening],))
        thread.start()
        while not server.started:
            assert thread.is_alive()
        yield f"http://127.0.0.1:{number}"
        server.should_exit = True
        thread.join(20)


def get(address: str, **headers: str) -> tuple[int, str]:
    answer = httpx.get(address, headers=headers, trust_env=False)
    return answer.status_code, answer.text


@needs_root
def test_another_user_of_the_machine_is_refused_whatever_it_says(address: str) -> None:
    assert get(address) == (200, "yes")
    for headers in ({}, {"X-Forwarded-For": "192.0.2.1"}, {"Origin": address}):
        status, text = as_stranger(functools.partial(get, address, **headers))
        assert status == 403, headers
        assert f"not user id {NOBODY}" in text


@needs_root
def test_where_it_is_shared_on_purpose_everybody_is_let_in(address: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ML_ASSETS_SHARED", "1")
    assert Guard(application, "dagster").shared
    monkeypatch.setenv("ML_ASSETS_SHARED", "0")
    assert not Guard(application, "dagster").shared


def test_answers_may_not_be_shown_inside_other_sites(address: str) -> None:
    assert httpx.get(address, trust_env=False).headers["X-Frame-Options"] == "SAMEORIGIN"
