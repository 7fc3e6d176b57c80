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
