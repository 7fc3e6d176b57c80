"""All five servers, as `up` starts them: what listens, who is answered, and who may read what."""

import functools
import json
import os
import stat
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import psutil
import pytest
from installation import free_port, wait_until
from stranger import as_stranger, needs_root
from websockets.exceptions import InvalidStatus
from websockets.sync.client import connect

from ml_assets.services import processes, supervisor
from ml_assets.state import credentials
from ml_assets.state.home import PORTS, port, url

QUERY = {"query": "{ __typename }"}
EVIL = "http://evil.example"
LISTENS = 0x10000
"""The flag __SO_ACCEPTCON in the table of Unix sockets (proc(5))."""


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A home whose servers all run."""
    folder = tmp_path_factory.mktemp("home")
    folder.chmod(0o755)  # as the version before left it
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("ML_ASSETS_HOME", str(folder))
        for name in ("LABEL_STUDIO_URL", "LABEL_STUDIO_API_KEY", "MLFLOW_TRACKING_URI", "ML_ASSETS_SHARED", "ML_ASSETS_HOSTS"):
            patch.delenv(name, raising=False)
        for service in PORTS:
            patch.setenv(f"ML_ASSETS_{service.upper()}_PORT", str(free_port()))
        try:
            started = supervisor.up()
            assert all(status.ready for status in started.values())
            yield folder
        finally:
            supervisor.down()
    assert processes.of_home(folder=folder) == []


@pytest.fixture(autouse=True)
def in_home(home: Path) -> None:
    """Every test asks this home's servers."""


def graphql(query: str) -> Any:
    answer = httpx.post(f"{url('dagster')}/graphql", json={"query": query}, trust_env=False, timeout=30)
    assert answer.status_code == 200, answer.text
    return answer.json()["data"]


def test_what_listens_is_five_ports_of_this_machine_and_sockets_that_only_the_owner_reaches(home: Path) -> None:
    listening, sockets = set(), set()
    inodes = {}
    for line in Path("/proc/net/unix").read_text().splitlines()[1:]:
        fields = line.split()
        if int(fields[3], 16) & LISTENS:
            inodes[f"socket:[{fields[6]}]"] = fields[7] if len(fields) > 7 else ""
    for process in processes.of_home():
        for one in process.net_connections("inet"):
            if one.status == psutil.CONN_LISTEN or (one.status == psutil.CONN_NONE and not one.raddr):
                listening.add((one.laddr.ip, one.laddr.port))
        for number in Path(f"/proc/{process.pid}/fd").iterdir():
            target = os.readlink(number)
            if target in inodes:
                sockets.add(inodes[target])
    assert listening == {("127.0.0.1", port(service)) for service in PORTS}
    assert sockets, "Dagster's code is served over one"
    for path in sockets:
        assert path.startswith("/"), f"{path!r} is in no folder"
        folder = Path(path).parent.stat()
        assert (stat.S_IMODE(folder.st_mode), folder.st_uid) == (0o700, os.geteuid()), path


def test_nothing_in_the_home_is_anybody_elses(home: Path) -> None:
    seen = [home, *home.rglob("*")]
    assert len(seen) > 50
    open_to_others = [path for path in seen if not path.is_symlink() and path.exists() and path.stat().st_mode & 0o077]
    assert open_to_others == []


def test_no_secret_stands_in_a_command_line(home: Path) -> None:
    account = credentials.label_studio()
    lines = " ".join(" ".join(process.cmdline()) for process in processes.of_home())
    assert account.api_key not in lines
    assert str(account.password) not in lines


def test_dagster_serves_its_own_pages_and_reloads_the_code(home: Path) -> None:
    page = httpx.get(url("dagster"), headers={"Accept": "text/html"}, trust_env=False)
    assert page.status_code == 200
    assert "<html" in page.text
    assert httpx.get(f"{url('dagster')}/graphql", headers={"Accept": "text/html"}, trust_env=False).status_code == 200
    entries = "workspaceOrError { ... on Workspace { locationEntries { name locationOrLoadError { __typename } } } }"
    loaded = [{"name": "ml_assets", "locationOrLoadError": {"__typename": "RepositoryLocation"}}]
    assert graphql(f"{{ {entries} }}")["workspaceOrError"]["locationEntries"] == loaded
    before = code()
    reloading = 'mutation { reloadRepositoryLocation(repositoryLocationName: "ml_assets") { __typename } }'
    assert graphql(reloading)["reloadRepositoryLocation"]["__typename"] == "WorkspaceLocationEntry"
    wait_until(lambda: code() and not code() & before, 60)
    healthy = "{ instance { daemonHealth { allDaemonStatuses { daemonType healthy required } } } }"

    def daemons() -> list[Any]:
        return [one for one in graphql(healthy)["instance"]["daemonHealth"]["allDaemonStatuses"] if one["required"]]

    wait_until(lambda: daemons() and all(one["healthy"] for one in daemons()), 90)
    with connect(
        f"{url('dagster')}/graphql".replace("http", "ws"), origin=url("dagster"), subprotocols=["graphql-ws"], proxy=None
    ) as own:
        own.send(json.dumps({"type": "connection_init"}))
        assert json.loads(own.recv(10))["type"] == "connection_ack"


def code() -> set[int]:
    """The processes that hold the projects' code."""
    return {p.pid for p in processes.of_home("dagster") if "dagster api grpc" in " ".join(p.cmdline())}


def test_a_web_page_of_another_site_cannot_drive_dagster() -> None:
    graph, report = f"{url('dagster')}/graphql", f"{url('dagster')}/report_asset_materialization/a"
    with httpx.Client(trust_env=False) as page:
        answers = {
            "an image": page.get(graph, params=QUERY, headers={"Accept": "image/*"}),
            "an image, as a browser sends it": page.get(graph, params=QUERY, headers={"Sec-Fetch-Site": "cross-site"}),
            "a form": page.post(graph, params=QUERY, data={"a": "b"}),
            "plain text": page.post(graph, content=json.dumps(QUERY), headers={"Content-Type": "text/plain"}),
            "GraphQL as text": page.post(graph, content=QUERY["query"], headers={"Content-Type": "application/graphql"}),
            "no content type": page.post(graph, params=QUERY),
            "another origin": page.post(graph, json=QUERY, headers={"Origin": EVIL}),
            "a sandbox": page.post(graph, json=QUERY, headers={"Origin": "null"}),
            "Label Studio's pages": page.post(graph, json=QUERY, headers={"Origin": url("label_studio")}),
            "another name of this machine": page.post(graph, json=QUERY, headers={"Host": "evil.example"}),
            "a report": page.post(report, headers={"Content-Type": "text/plain"}),
            "a report without a body": page.post(report),
            "a report of another origin": page.post(report, json={}, headers={"Origin": EVIL}),
        }
    assert {name: answer.status_code for name, answer in answers.items()} == dict.fromkeys(answers, 403)
    for origin in (EVIL, "null", url("label_studio")):
        with pytest.raises(InvalidStatus) as refused:
            connect(graph.replace("http", "ws"), origin=origin, subprotocols=["graphql-ws"], proxy=None)  # type: ignore[arg-type]
        assert refused.value.response.status_code == 403
    reports = 'assetOrError(assetKey: {path: ["a"]}) { ... on Asset { assetMaterializations { runId } } }'
    assert graphql(f"{{ {reports} }}")["assetOrError"].get("assetMaterializations", []) == []


@pytest.mark.parametrize("service", ["mlflow", "explorer"])
def test_a_web_page_of_another_site_gets_nothing_of_the_others(service: str) -> None:
    with httpx.Client(trust_env=False, base_url=url(service)) as page:
        assert page.get("/").status_code == 200
        for headers in ({"Origin": EVIL}, {"Origin": "null"}, {"Host": "evil.example"}, {"Sec-Fetch-Site": "same-site"}):
            assert page.get("/", headers=headers).status_code == 403


def asked(address: str, **headers: str) -> tuple[int, int]:
    """The answers to a request that reads and to one that changes something."""
    with httpx.Client(trust_env=False, headers=headers, timeout=30) as client:
        return client.get(address).status_code, client.post(address, json=QUERY).status_code


@needs_root
@pytest.mark.parametrize("service", ["dagster", "mlflow", "explorer"])
def test_another_user_of_the_machine_gets_nothing(service: str) -> None:
    paths = {"dagster": "/graphql", "mlflow": "/api/2.0/mlflow/experiments/search", "explorer": "/"}
    for headers in ({}, {"X-Forwarded-For": "192.0.2.1", "Forwarded": "for=192.0.2.1"}):
        assert as_stranger(functools.partial(asked, url(service) + paths[service], **headers)) == (403, 403)
