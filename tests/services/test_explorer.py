import os
from pathlib import Path

import pytest
from starlette.testclient import TestClient

from ml_assets.visualization.explorer import application


@pytest.fixture
def client(tmp_path: Path) -> TestClient:
    reports = tmp_path / "reports"
    (reports / "birds").mkdir(parents=True)
    (reports / "birds" / "dataset.html").write_text("<h1>calls</h1>")
    (reports / "news & views.html").write_text("<h1>news</h1>")
    (tmp_path / "credentials").write_text("secret")
    (reports / "link.html").symlink_to(tmp_path / "credentials")
    return TestClient(application(reports), base_url="http://127.0.0.1")


def test_lists_the_projects_and_serves_their_reports(client: TestClient) -> None:
    index = client.get("/").text
    assert '<b>birds</b> <a href="/birds/dataset.html">dataset</a>' in index
    assert '<b>news &amp; views</b> <a href="/news%20%26%20views.html">' in index
    assert client.get("/birds/dataset.html").text == "<h1>calls</h1>"
    assert client.get("/news%20%26%20views.html").text == "<h1>news</h1>"


@pytest.mark.parametrize(
    "path", ["/../credentials", "/%2e%2e/credentials", "/birds/..%2f..%2fcredentials", "//etc/passwd", "/link.html"]
)
def test_serves_nothing_outside_the_reports(client: TestClient, path: str) -> None:
    answer = client.get(path)
    assert answer.status_code == 404
    assert "secret" not in answer.text


def test_answers_to_this_machine_only(client: TestClient) -> None:
    assert client.get("/", headers={"Host": "localhost:8501"}).status_code == 200
    assert client.get("/", headers={"Host": "evil.example"}).status_code == 400


@pytest.mark.parametrize("path", ["/", "/birds/dataset.html", "/missing"])
def test_every_answer_says_what_a_page_may_do(client: TestClient, path: str) -> None:
    headers = client.get(path).headers
    assert headers["X-Content-Type-Options"] == "nosniff"
    policy = headers["Content-Security-Policy"]
    assert "default-src 'none'" in policy
    assert "img-src 'self' data:" in policy
    assert "script-src 'self' 'unsafe-inline'" in policy


@pytest.mark.parametrize(
    "path", ["/a%00b", "/" + "x" * 5000, "/birds/dataset.html/x", "/%ff%fe", "/%ed%a0%80", "/birds%5c..%5ccredentials"]
)
def test_an_odd_address_is_a_page_that_is_not_there(client: TestClient, path: str) -> None:
    answer = client.get(path)
    assert answer.status_code in (400, 404)
    assert "Content-Security-Policy" in answer.headers


@pytest.mark.parametrize("method", ["POST", "PUT", "DELETE", "PATCH", "OPTIONS", "TRACE"])
@pytest.mark.parametrize("path", ["/", "/birds/dataset.html"])
def test_nothing_can_be_done_here_but_look(client: TestClient, method: str, path: str) -> None:
    answer = client.request(method, path, headers={"Origin": "http://evil.example"})
    assert answer.status_code == 405
    assert "Access-Control-Allow-Origin" not in answer.headers


def test_pages_of_other_origins_can_neither_embed_nor_hold_a_report(client: TestClient) -> None:
    headers = client.get("/birds/dataset.html").headers
    assert headers["Cross-Origin-Resource-Policy"] == headers["Cross-Origin-Opener-Policy"] == "same-origin"
    assert "frame-ancestors 'none'" in headers["Content-Security-Policy"]


def test_one_odd_file_does_not_hide_the_others(tmp_path: Path) -> None:
    (tmp_path / "gone.html").symlink_to(tmp_path / "nowhere")
    (tmp_path / os.fsdecode(b"caf\xe9.html")).write_text("x")
    (tmp_path / "<img src=x onerror=alert(1)>.html").write_text("x")
    answer = TestClient(application(tmp_path), base_url="http://127.0.0.1").get("/")
    assert answer.status_code == 200
    assert "&lt;img src=x onerror=alert(1)&gt;" in answer.text
    assert "<img" not in answer.text
