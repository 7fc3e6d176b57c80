import os
import signal
import socket
import sqlite3
import subprocess
import sys
import time
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import httpx
import psutil
import pytest

from ml_assets.services import processes, supervisor
from ml_assets.services.state import State
from ml_assets.services.supervisor import ServiceError
from ml_assets.services.watch import rotate
from ml_assets.state import credentials
from ml_assets.state.home import port
from ml_assets.state.processes import alive

LIGHT = {"explorer", "mlflow"}


def until(true: Callable[[], object], seconds: float = 40) -> None:
    """Ask again until it is so."""
    deadline = time.monotonic() + seconds
    while not true():
        assert time.monotonic() < deadline, "it did not happen in time"
        time.sleep(0.1)


def pid_of(service: str) -> int:
    pid = supervisor.status()[service].pid
    assert pid is not None
    return pid


def supervisor_pid() -> int:
    state = State.read()
    assert state
    return state.pid


def test_the_servers_live_through_the_death_of_one_and_end_after_the_death_of_their_supervisor(home: Path) -> None:
    seen: list[tuple[str, str]] = []
    started = supervisor.up(lambda service, state, _: seen.append((service, state)), LIGHT)
    assert set(started) == LIGHT
    assert all(status.ready for status in started.values())
    assert {("mlflow", "ready"), ("explorer", "ready")} <= set(seen)

    now = supervisor.status()
    assert {name for name, status in now.items() if status.ready} == LIGHT
    assert now["endpoint"].problem == "not running"

    _use_mlflow(now["mlflow"].url)

    # up again: at once, and the same processes
    began = time.monotonic()
    assert supervisor.up(only=LIGHT) == started
    assert time.monotonic() - began < 3

    killed = pid_of("mlflow")
    os.kill(killed, signal.SIGKILL)
    until(lambda: supervisor.status()["mlflow"].pid not in (killed, None))
    until(lambda: supervisor.status()["mlflow"].ready)
    assert pid_of("explorer") == started["explorer"].pid

    # a process of another home, and one of nobody, are none of our business
    other = {**os.environ, processes.HOME: str(home / "other"), processes.SERVICE: "explorer"}
    strangers = [subprocess.Popen(["sleep", "600"], env=env) for env in (other, dict(os.environ))]
    try:
        os.kill(supervisor_pid(), signal.SIGKILL)
        left = processes.of_home()
        assert {process.pid for process in left} >= {pid_of("mlflow"), pid_of("explorer")}
        supervisor.down()
        assert processes.of_home() == []
        assert not any(alive(process) for process in left)
        assert [stranger.poll() for stranger in strangers] == [None, None]
    finally:
        for stranger in strangers:
            stranger.kill()
            stranger.wait()


def _use_mlflow(url: str) -> None:
    """Artifacts go through the server; a page elsewhere that points its name at this machine gets nothing."""
    code = (
        f"import mlflow; mlflow.set_tracking_uri({url!r}); mlflow.set_experiment('e')\n"
        "with mlflow.start_run() as run: mlflow.log_text('hello', 'a.txt')\n"
        "assert run.info.artifact_uri.startswith('mlflow-artifacts:'), run.info.artifact_uri\n"
        "print(mlflow.artifacts.load_text(run.info.artifact_uri + '/a.txt'))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60)
    assert "hello" in done.stdout, done.stderr
    path = f"{url}/api/2.0/mlflow/experiments/get?experiment_id=0"
    assert httpx.get(path, trust_env=False).status_code == 200
    assert httpx.get(path, headers={"Host": "evil.example"}, trust_env=False).status_code == 403


def test_the_endpoints_workers_do_not_outlive_it(home: Path) -> None:
    first = supervisor.up(only={"endpoint"})["endpoint"]
    workers = [child for child in psutil.Process(first.pid).children(recursive=True) if alive(child)]
    assert len(workers) >= 2
    os.kill(first.pid or 0, signal.SIGKILL)
    until(lambda: supervisor.status()["endpoint"].pid not in (first.pid, None))
    assert not any(alive(worker) for worker in workers)
    until(lambda: supervisor.status()["endpoint"].ready)
    left = processes.of_home()
    supervisor.down()
    assert not any(alive(process) for process in left)


def test_a_full_log_is_moved_aside_while_its_server_writes(tmp_path: Path) -> None:
    log = tmp_path / "a.log"
    with log.open("ab", buffering=0) as server:
        for number in range(6):
            server.write(b"%d" % number * 10)
            rotate(log, full=10)
        server.write(b"new")
    names = ["a.log", "a.log.1", "a.log.2", "a.log.3"]
    assert sorted(path.name for path in tmp_path.iterdir()) == names
    assert [(tmp_path / name).read_bytes() for name in names] == [b"new", b"5" * 10, b"4" * 10, b"3" * 10]


def test_up_after_the_death_of_a_supervisor_ends_what_it_left(home: Path) -> None:
    supervisor.up(only={"explorer"})
    first = pid_of("explorer")
    os.kill(supervisor_pid(), signal.SIGKILL)
    until(lambda: not psutil.pid_exists(supervisor_pid()) or not alive(psutil.Process(supervisor_pid())))
    assert supervisor.up(only={"explorer"})["explorer"].pid != first
    assert not psutil.pid_exists(first) or not alive(psutil.Process(first))


def test_up_with_another_port_moves_the_server(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    before = supervisor.up(only={"explorer"})["explorer"]
    monkeypatch.setenv("ML_ASSETS_EXPLORER_PORT", str(port("endpoint")))
    after = supervisor.up(only={"explorer"})["explorer"]
    assert after.ready
    assert after.url != before.url
    with pytest.raises(httpx.ConnectError):
        httpx.get(before.url, trust_env=False)


def test_a_server_that_dies_again_and_again_is_left_alone_for_a_while(home: Path) -> None:
    supervisor.up(only={"explorer"})
    killed: set[int] = set()

    def kill_and_ask() -> bool:
        status = supervisor.status()["explorer"]
        if status.pid and status.pid not in killed:
            killed.add(status.pid)
            os.kill(status.pid, signal.SIGKILL)
        return bool(status.problem and status.problem.startswith("it ended 5 times within"))

    until(kill_and_ask, 120)  # five starts
    assert len(killed) == 5
    until(lambda: supervisor.status()["explorer"].ready, 120)  # nobody asked for it
    assert supervisor.status()["explorer"].pid not in killed
    # and a new `up` finds it there
    assert supervisor.up(only={"explorer"})["explorer"].ready


def test_a_taken_port_is_one_sentence_and_nothing_starts(home: Path) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", port("mlflow")))
        taken.listen()
        sentence = f"port {port('mlflow')} for mlflow is taken by another program: end that, or set ML_ASSETS_MLFLOW_PORT"
        with pytest.raises(ServiceError, match=sentence):
            supervisor.up(only=LIGHT)
        assert processes.of_home() == []
        assert not supervisor.status()["mlflow"].ready


def test_one_port_for_two_servers_is_one_sentence_and_nothing_starts(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ML_ASSETS_EXPLORER_PORT", str(port("mlflow")))
    sentence = f"port {port('mlflow')} is set for both mlflow and explorer: set ML_ASSETS_EXPLORER_PORT to another"
    with pytest.raises(ServiceError, match=sentence):
        supervisor.up(only=LIGHT, seconds=20)
    assert processes.of_home() == []


def test_a_server_that_does_not_start_is_one_sentence_and_the_others_end(home: Path) -> None:
    (home / "mlflow").write_text("not a folder")
    with pytest.raises(ServiceError, match=r"^mlflow does not start: .*File exists.*; its log .*mlflow\.log says"):
        supervisor.up(only=LIGHT)
    assert processes.of_home() == []


def test_a_crash_at_the_start_shows_the_error_in_the_log(home: Path) -> None:
    (home / "mlflow").mkdir()
    (home / "mlflow" / "mlflow.db").write_text("this is no database at all, but it is long enough to look like one" * 20)
    with pytest.raises(ServiceError, match=r"^mlflow does not start: it ended 2 times .*file is not a database"):
        supervisor.up(only={"mlflow"})
    assert processes.of_home() == []


def test_mlflow_begins_anew_where_its_first_start_was_cut_short(home: Path) -> None:
    """Half of its migrations make every later start fail; until they are through, nothing can be in its database."""
    (home / "mlflow").mkdir()
    with closing(sqlite3.connect(home / "mlflow" / "mlflow.db")) as half:
        half.execute("CREATE TABLE inputs (input_uuid VARCHAR(36))")
        half.commit()
    url = supervisor.up(only={"mlflow"})["mlflow"].url
    assert (home / "mlflow" / "mlflow.unfinished").exists()
    made = httpx.post(f"{url}/api/2.0/mlflow/experiments/create", json={"name": "mine"}, trust_env=False).json()
    supervisor.down()
    supervisor.up(only={"mlflow"})
    path = f"{url}/api/2.0/mlflow/experiments/get?experiment_id={made['experiment_id']}"
    assert httpx.get(path, trust_env=False).json()["experiment"]["name"] == "mine"


def test_dagster_is_started_again_when_the_process_dies_that_holds_the_code(home: Path) -> None:
    """Its pages still answer then, but no sensor runs."""
    supervisor.up(only={"dagster"})
    first = pid_of("dagster")

    def holds_the_code() -> list[psutil.Process]:
        return [p for p in processes.of_home("dagster") if "dagster api grpc" in " ".join(p.cmdline())]

    until(holds_the_code)
    for process in holds_the_code():
        process.kill()
    until(lambda: supervisor.status()["dagster"].pid not in (first, None))
    until(lambda: supervisor.status()["dagster"].ready and holds_the_code(), seconds=180)


def test_an_existing_server_is_asked_and_not_started(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    nowhere = f"http://127.0.0.1:{port('mlflow')}"
    monkeypatch.setenv("MLFLOW_TRACKING_URI", nowhere)
    with pytest.raises(ServiceError, match=f"mlflow at {nowhere} is not ready: no connection"):
        supervisor.up(only=LIGHT)
    assert supervisor.status()["mlflow"].problem == "no connection (ConnectError)"
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"sqlite:///{home}/tracking.db")
    started = supervisor.up(only=LIGHT)
    assert started["mlflow"].ready
    assert started["mlflow"].pid is None


def test_an_unknown_service_names_the_choices(home: Path) -> None:
    with pytest.raises(
        ServiceError, match="unknown service 'mlfow': choose from dagster, label_studio, mlflow, endpoint, explorer"
    ):
        supervisor.up(only={"mlfow"})


def test_looking_leaves_no_trace(home: Path) -> None:
    assert not any(status.ready for status in supervisor.status().values())
    supervisor.down()
    assert list(home.iterdir()) == []


def test_label_studio_lets_in_its_administrator_and_nobody_else(home: Path) -> None:
    # a first start that was cut short begins anew
    (home / "label_studio").mkdir()
    (home / "label_studio" / "label_studio.sqlite3").write_bytes(b"half a database")
    url = supervisor.up(only={"label_studio"})["label_studio"].url
    assert (home / "label_studio" / "label_studio.unfinished").read_bytes() == b"half a database"
    account = credentials.label_studio()
    with httpx.Client(base_url=url, trust_env=False) as client:
        assert client.get("/api/projects").status_code == 401
        assert client.get("/api/projects", headers={"Authorization": f"Token {account.api_key}"}).status_code == 200
        client.get("/user/signup/")
        stranger = {
            "email": "stranger@example.com",
            "password": "long-enough-1",
            "csrfmiddlewaretoken": client.cookies["csrftoken"],
        }
        client.post("/user/signup/", data=stranger, headers={"Referer": url})
        people = client.get("/api/users", headers={"Authorization": f"Token {account.api_key}"}).json()
        assert [person["email"] for person in people] == [account.email]
    logs = "".join(path.read_text() for path in (home / "logs").iterdir())
    assert account.api_key not in logs
    assert str(account.password) not in logs
    # on 127.0.0.1 only: 127.0.0.2 is this machine too, and would answer if it listened everywhere
    with socket.socket() as asking:
        asking.settimeout(2)
        assert asking.connect_ex(("127.0.0.2", port("label_studio"))) != 0
    # no secret on a command line
    lines = " ".join(" ".join(process.cmdline()) for process in processes.of_home())
    assert account.api_key not in lines
    assert str(account.password) not in lines
