"""Both kinds of token against the real server: what works with one works with the other, and one that is no good is said so."""

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread
from typing import Any

import httpx
import jwt
import pytest

from ml_assets.labeling.accounts import ensure_annotator
from ml_assets.labeling.connect import connect
from ml_assets.labeling.label_studio import Answer, LabelStudio, LabelStudioRefused, LabelStudioUnavailable
from ml_assets.labeling.pull import pull
from ml_assets.store import ProjectStore

from .animals import CONFIG, TASK


def _headers(client: LabelStudio) -> dict[str, str]:
    return dict(client._sdk._client_wrapper.get_headers())


def _new(client: LabelStudio) -> str:
    return str(httpx.post(f"{client.url}/api/token/", headers=_headers(client), timeout=10).json()["token"])


def _revoke(client: LabelStudio, token: str) -> None:
    answer = httpx.post(f"{client.url}/api/token/blacklist/", headers=_headers(client), json={"refresh": token}, timeout=10)
    answer.raise_for_status()


@pytest.fixture(params=["legacy", "personal"])
def client(
    request: pytest.FixtureRequest, label_studio: Any, personal_token: str, monkeypatch: pytest.MonkeyPatch
) -> Iterator[LabelStudio]:
    """An existing server by its URL and token, as the variables name it."""
    monkeypatch.setenv("LABEL_STUDIO_URL", label_studio.url + "/")
    monkeypatch.setenv("LABEL_STUDIO_API_KEY", label_studio.token if request.param == "legacy" else personal_token)
    made = connect()
    yield made
    made.close()


def test_a_project_is_made_filled_answered_and_pulled(
    client: LabelStudio, tmp_path: Any, request: pytest.FixtureRequest
) -> None:
    store = ProjectStore(f"by_{request.node.callspec.params['client']}", tmp_path)
    project = client.ensure_project(store.project, CONFIG)
    pushed = client.push(project, [{"data": {"item_id": item, "content": f"text of {item}"}} for item in ("a", "b")])
    assert (
        client.add_annotations(
            [Answer(pushed["a"], TASK.to_label_studio("cat")), Answer(pushed["b"], TASK.to_label_studio("dog"))]
        )
        == 2
    )
    assert pull(store, client, project, TASK).changed == 2
    assert {row["labeler"] for row in store.table("annotations").read().to_pylist()} == {client.email}


def test_access_that_expired_is_renewed_unseen(label_studio: Any, personal_token: str) -> None:
    client = LabelStudio(label_studio.url, personal_token)
    assert client.users()
    tokens: Any = client._sdk._client_wrapper._tokens_client
    first = tokens._access_token
    claims = jwt.decode(first, options={"verify_signature": False})
    assert claims["exp"] - claims["iat"] <= 300, "what follows is about tokens that live shorter than a run"
    past = datetime.now(UTC) - timedelta(seconds=1)
    tokens._set_access_token(jwt.encode(claims | {"exp": past}, "k" * 32))  # as if five minutes had passed
    assert client.users()
    assert tokens._access_token != first
    client.close()


def test_a_revoked_token_is_one_sentence(owner: LabelStudio, label_studio: Any) -> None:
    person = ensure_annotator(owner, "leaver@example.org", "a good password")
    token = _new(person)
    assert LabelStudio(label_studio.url, token).email == "leaver@example.org"
    _revoke(person, token)
    with pytest.raises(
        LabelStudioRefused, match=r"^Label Studio at \S+ refuses the token \(401: .*\): check LABEL_STUDIO_API_KEY$"
    ):
        LabelStudio(label_studio.url, token).users()


@pytest.mark.parametrize("kind", ["expired", "forged", "nonsense"])
def test_a_wrong_token_is_one_sentence(label_studio: Any, personal_token: str, kind: str) -> None:
    claims = jwt.decode(personal_token, options={"verify_signature": False})
    token = {
        "expired": jwt.encode(claims | {"exp": 1}, "k" * 32),
        "forged": jwt.encode(claims, "k" * 32),
        "nonsense": "not a token",
    }[kind]
    with pytest.raises(LabelStudioRefused, match=r"refuses the token \(401: .*\): check LABEL_STUDIO_API_KEY$"):
        LabelStudio(label_studio.url, token).users()


class BadGateway(BaseHTTPRequestHandler):
    """What a proxy answers whose server is gone: HTML, whatever it is asked."""

    def do_POST(self) -> None:
        self.rfile.read(int(self.headers["Content-Length"]))
        self.send_response(502)
        self.end_headers()
        self.wfile.write(b"<h1>Bad gateway</h1>")

    def log_message(self, *_: Any) -> None:
        """Say nothing."""


def test_a_page_that_is_no_label_studio_is_one_sentence(personal_token: str) -> None:
    with ThreadingHTTPServer(("127.0.0.1", 0), BadGateway) as proxy:
        Thread(target=proxy.serve_forever, daemon=True).start()
        address = f"http://127.0.0.1:{proxy.server_port}"
        with pytest.raises(
            LabelStudioUnavailable, match=rf"^{address} answers as no Label Studio does .*check LABEL_STUDIO_URL"
        ):
            LabelStudio(address, personal_token).users()
        proxy.shutdown()
