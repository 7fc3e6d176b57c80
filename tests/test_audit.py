"""The audit of locked packages: a known hole is told, an excuse has a reason and an end, and no network is no failure."""

import importlib.util
import json
import threading
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

AUDIT = Path(__file__).parents[1] / "requirements" / "audit.py"
HOLES: dict[str, dict[str, Any]] = {
    "GHSA-1": {"id": "GHSA-1", "aliases": ["CVE-1"], "summary": "Reads any file."},
    "PYSEC-2": {"id": "PYSEC-2", "summary": "Was none.", "withdrawn": "2026-01-01T00:00:00Z"},
    "GHSA-3": {"id": "GHSA-3", "details": "Stops.\nMore."},
}


class Advisories(BaseHTTPRequestHandler):
    """A small list that answers as osv.dev documents it: tiny 1.0 has three holes, on two pages."""

    def do_POST(self) -> None:
        asked = json.loads(self.rfile.read(int(self.headers["Content-Length"])))["queries"]
        results: list[dict[str, Any]] = []
        for query in asked:
            if (query["package"], query["version"]) != ({"ecosystem": "PyPI", "name": "tiny"}, "1.0"):
                results.append({})
            elif "page_token" not in query:
                results.append({"vulns": [{"id": "GHSA-1"}, {"id": "PYSEC-2"}], "next_page_token": "2"})
            else:
                results.append({"vulns": [{"id": "GHSA-3"}]})
        self.answer({"results": results})

    def do_GET(self) -> None:
        self.answer(HOLES[self.path.rsplit("/", 1)[-1]])

    def answer(self, content: Any) -> None:
        body = json.dumps(content).encode()
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: Any) -> None:
        """Say nothing."""


@pytest.fixture
def advisories(monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    server = HTTPServer(("127.0.0.1", 0), Advisories)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    monkeypatch.setenv("ML_ASSETS_ADVISORIES", f"http://127.0.0.1:{server.server_port}")
    yield server.server_address[0]
    server.shutdown()
    thread.join()
    server.server_close()


@pytest.fixture
def audit(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    """The program, on two locked packages and without exceptions."""
    spec = importlib.util.spec_from_file_location("audit", AUDIT)
    assert spec
    assert spec.loader
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    (tmp_path / "lock.txt").write_text(
        "tiny==1.0 ; sys_platform == 'linux' --hash=sha256:00\nother==2.0+cpu --hash=sha256:00\n"
    )
    (tmp_path / "exceptions.toml").touch()
    monkeypatch.setattr(module, "HERE", tmp_path)
    monkeypatch.setattr(module, "LOCKS", ["lock.txt"])
    return module


def excuse(folder: Path, name: str, until: datetime, reason: str = "not used") -> None:
    with (folder / "exceptions.toml").open("a") as file:
        file.write(f'[[exception]]\nid = "{name}"\npackage = "tiny"\nreason = "{reason}"\nuntil = {until:%Y-%m-%d}\n')


@pytest.mark.usefixtures("advisories")
def test_a_known_hole_is_told_until_it_is_excused(
    audit: ModuleType, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert audit.main() == 1
    said = capsys.readouterr()
    assert "tiny 1.0 has a known hole, CVE-1, GHSA-1: Reads any file.;" in said.err
    assert "tiny 1.0 has a known hole, GHSA-3: Stops.;" in said.err
    assert "PYSEC-2" not in said.err
    assert said.out == "audit: 2 packages, 2 known holes, 0 of them excused\n"
    today = datetime.now(UTC)
    excuse(tmp_path, "CVE-1", today + timedelta(days=1))
    excuse(tmp_path, "GHSA-3", today - timedelta(days=1))  # its time is over
    assert audit.main() == 1
    assert "CVE-1" not in capsys.readouterr().err
    excuse(tmp_path, "GHSA-3", today + timedelta(days=1))
    assert audit.main() == 0


def test_an_excuse_without_a_reason_is_none(audit: ModuleType, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    excuse(tmp_path, "GHSA-1", datetime.now(UTC), reason="")
    assert audit.main() == 1
    assert "has no reason" in capsys.readouterr().err


def test_without_a_network_it_says_so_in_one_line_and_passes(
    audit: ModuleType, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("ML_ASSETS_ADVISORIES", "http://127.0.0.1:9")
    assert audit.main() == 0
    said = capsys.readouterr()
    assert said.out.startswith("audit: not done, the list of known holes at http://127.0.0.1:9 cannot be read (ConnectError: ")
    assert (said.out.count("\n"), said.err) == (1, "")


def test_the_exceptions_of_this_project_have_reasons(audit: ModuleType) -> None:
    assert audit.exceptions(AUDIT.parent / "exceptions.toml", datetime.now(UTC).date()) is not None
