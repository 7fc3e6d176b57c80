"""Another user of the machine, with a shell and nothing else: every port, every file, every name that is free to take."""

import json
import os
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path

import httpx
import psutil
from stranger import as_stranger, stranger

from ml_assets.services import processes

from . import shell
from .dagster_calls import answered, calls, state
from .target import LETTERS, MODEL_FILE, REPORTED, Target, artifact
from .wire import Request, upgrade

GUESSES = ("admin", "password", "admin@localhost.example")


def find_other_ports(target: Target) -> Iterator[str]:
    """No process of the installation listens on TCP or UDP but the five servers, each at its own port, all at 127.0.0.1."""
    wanted = {("127.0.0.1", port) for port in target.ports.values()}
    found = set()
    for process in _processes(target):
        with suppress(psutil.NoSuchProcess):
            for kind in ("tcp", "udp"):
                for each in process.net_connections(kind):
                    if each.status == psutil.CONN_LISTEN or (kind == "udp" and each.laddr):
                        address = (each.laddr.ip, each.laddr.port)
                        found.add(address)
                        if address not in wanted:
                            yield f"{_words(process)} listens at {kind} {address}"
    for address in wanted - found:
        yield f"nobody listens at {address}, where a server should"


def command_a_control_port(target: Target) -> Iterator[str]:
    """Nothing that runs the servers takes commands (circus's `add` would run any command as the owner of the home)."""
    proof = target.temporary / "a-command-of-another-user-ran"
    for number in sorted(_other_ports(target)):
        answer = as_stranger(shell.circus, number, f"/usr/bin/touch {proof}")
        if answer is not None:
            yield f"a control channel at port {number} answered {answer}"
        with suppress(AssertionError):
            _until(proof.exists, 5)
    if proof.exists():
        yield f"a command of another user ran as user {proof.stat().st_uid}"
        proof.unlink()


def connect_to_unix_sockets(target: Target) -> Iterator[str]:
    """No Unix socket on which the installation listens takes a connection of another user: Dagster's code server, ZeroMQ."""
    for path, process in _unix_listeners(target):
        if as_stranger(shell.connects, path):
            yield f"{process} takes a connection of another user at {path!r}"


def drive_dagster(target: Target) -> Iterator[str]:
    """Another user reads nothing of Dagster and changes nothing: no run, no report of a materialisation, no other mutation."""
    before, asked = state(target), calls()
    for (name, *_), (status, text) in zip(asked, _answers(target, "dagster", [each[1:] for each in asked]), strict=True):
        if answered(status, text):
            yield f"{name} is answered {status}: {text[:80]!r}"
    if state(target) != before:
        yield f"Dagster's runs or materialisations are others: {before} became {state(target)}"


def open_dagsters_websocket(target: Target) -> Iterator[str]:
    """Another user gets no WebSocket of Dagster."""
    if as_stranger(upgrade, target.ports["dagster"], "/graphql", {}):
        yield "the WebSocket was opened"


def tamper_with_models(target: Target) -> Iterator[str]:
    """Another user reads and writes nothing in MLflow: no list, no file of a registered version, no version of their own."""
    path = "/" + artifact(target).split("/", 3)[3]
    name = LETTERS
    asked = [
        ("list experiments", "POST", "/api/2.0/mlflow/experiments/search", {"max_results": 10}),
        ("list models", "GET", "/api/2.0/mlflow/registered-models/search", None),
        ("list models for the page", "GET", "/ajax-api/2.0/mlflow/registered-models/search", None),
        ("ask by GraphQL", "POST", "/graphql", {"query": "{ __typename }"}),
        ("read a model", "GET", path, None),
        ("overwrite a model", "PUT", path, {"classes": ["med", "hockey", "space"]}),
        ("register a version", "POST", "/api/2.0/mlflow/model-versions/create", {"name": name, "source": "file:///tmp"}),
        ("set an alias", "POST", "/api/2.0/mlflow/registered-models/alias", {"name": name, "alias": "a", "version": "1"}),
        ("delete a model", "DELETE", "/api/2.0/mlflow/registered-models/delete", {"name": name}),
    ]  # fmt: skip
    before = _get(artifact(target))
    requests = [(m, p, {"Content-Type": "application/json"}, json.dumps(body) if body else None) for _, m, p, body in asked]
    for (what, *_), (status, text) in zip(asked, _answers(target, "mlflow", requests), strict=True):
        if answered(status, text):
            yield f"{what} is answered {status}: {text[:80]!r}"
    if (after := _get(artifact(target))) != before:
        yield f"the file {MODEL_FILE} of a registered model is another one: {after[:80]!r}"
        httpx.put(artifact(target), content=before, trust_env=False).raise_for_status()


def read_the_explorer(target: Target) -> Iterator[str]:
    """Another user does not read the reports, which show the data."""
    paths = ("/", f"/{LETTERS}/", f"/{LETTERS}/index.html")
    for path, (_, text) in zip(paths, _answers(target, "explorer", [("GET", path, {}, None) for path in paths]), strict=True):
        if REPORTED in text or f'href="/{LETTERS}/"' in text:
            yield f"GET {path} shows the report"


def ask_the_endpoint_without_a_key(target: Target) -> Iterator[str]:
    """Without a key, or with a guessed one, the endpoint predicts nothing, stores nothing and names no project."""
    secrets = ("", "Bearer ", "Bearer mla_" + "a" * 43, "Basic YWRtaW46YWRtaW4=", "Bearer null")
    places = (("GET", f"/{LETTERS}"), ("POST", f"/{LETTERS}/predict"), ("POST", f"/{LETTERS}/samples"))
    asked = [
        (method, path, {"Authorization": secret, "Content-Type": "application/json"}, '{"samples": ["x"]}')
        for secret in secrets
        for method, path in places
    ]
    for (method, path, headers, _), (status, text) in zip(asked, _answers(target, "endpoint", asked), strict=True):
        if status != 401:
            yield f"{method} {path} with {headers['Authorization']!r} is answered {status}: {text[:80]!r}"
    open_to_all = [("GET", path, {}, None) for path in ("/metrics", "/docs.json", "/")]
    for (_, path, *_), (_, text) in zip(open_to_all, _answers(target, "endpoint", open_to_all), strict=True):
        if LETTERS in text:
            yield f"GET {path} names the project"


def enter_label_studio(target: Target) -> Iterator[str]:
    """Without an account of Label Studio nobody reads its projects or media, signs up, or gets in by guessing."""
    port = target.ports["label_studio"]
    paths = (
        "/api/projects", "/api/users", "/api/dm/project?project=1", "/api/tasks?project=1", "/api/invite", "/api/organizations",
        "/api/webhooks", "/data/local-files/?d=..%2Fcredentials",
        "/data/local-files/?d=/etc/passwd", "/api/storages/localfiles",
        "/api/current-user/token", "/metrics", "/django-rq/",
    )  # fmt: skip
    tokens: tuple[dict[str, str], ...] = ({}, {"Authorization": "Token " + "0" * 40}, {"Authorization": "Bearer x.y.z"})
    asked = [("GET", path, headers, None) for path in paths for headers in tokens]
    for (_, path, *_), (status, text) in zip(asked, _answers(target, "label_studio", asked), strict=True):
        if status == 200 and text.strip() and "login" not in text.lower():
            yield f"GET {path} is answered 200: {text[:80]!r}"
    account = target.administrator()
    forms = [("/user/login/", {"email": str(account.email), "password": guess}) for guess in GUESSES]
    if any("sessionid" in cookies for cookies in as_stranger(shell.fill_in, port, forms)):
        yield f"the password of {account.email} was guessed"
    form = {"email": "stranger@example.org", "password": "correct-horse-9", "allow_newsletters": "false"}
    as_stranger(shell.fill_in, port, [(f"/user/signup/{link}", form) for link in ("", "?token=", "?token=" + "0" * 32)])
    people = _get(f"{target.url('label_studio')}/api/users", {"Authorization": f"Token {account.api_key}"})
    if b"stranger@example.org" in people:
        yield "an account was made without an invitation"


def read_the_home(target: Target) -> Iterator[str]:
    """No file below the home can be read by another user, and no folder listed, whatever path they know."""
    known = [str(path) for path in target.home.rglob("*")]
    found = as_stranger(shell.readable, [str(target.home), *known])
    if found:
        yield f"{len(found)} of {len(known)} files and folders of the home can be read, such as {found[0]}"


def read_what_lies_in_temporary_folders(target: Target) -> Iterator[str]:
    """Nothing that the servers leave in `/tmp` or shared memory can be read, written, renamed or replaced by another user."""
    known = [str(path) for path in target.temporary.rglob("*")]
    if found := as_stranger(shell.readable, known):
        yield f"{len(found)} files and folders can be read, such as {found[:5]}"
    if found := as_stranger(shell.replaceable, known):
        yield f"{len(found)} files and folders can be replaced, such as {found[:5]}"


def replace_what_processes_have_open(target: Target) -> Iterator[str]:
    """No file that a server has open can be written by another user, nor lies in a folder in which they may rename it."""
    opened: set[str] = set()
    for process in _processes(target):
        with suppress(psutil.NoSuchProcess, psutil.AccessDenied):
            opened |= {each.path for each in process.open_files()}
            opened |= {each.path for each in process.memory_maps() if each.path.startswith("/")}
    files = sorted(path for path in opened if os.path.isfile(path))
    if found := as_stranger(shell.writable, files):
        yield f"{len(found)} open files can be written, such as {found[:5]}"


def read_command_lines_and_environments(target: Target) -> Iterator[str]:
    """No secret stands in a command line, which every user sees; environments cannot be read by others."""
    secrets = target.secrets()
    for pid, line, environment in as_stranger(shell.proc, [process.pid for process in _processes(target)]):
        if any(secret in line for secret in secrets):
            yield f"a secret stands in the command line of process {pid}"
        if environment:
            yield f"the environment of process {pid} can be read"


def read_logs(target: Target) -> Iterator[str]:
    """No log holds a secret (logs are copied into tickets, whoever may read them here)."""
    secrets = target.secrets()
    for path in (target.home / "logs").glob("*"):
        text = path.read_text(errors="replace")
        if any(secret in text for secret in secrets):
            yield f"a secret stands in {path.name}"


def hold_the_ports_before_they_are_used(target: Target) -> Iterator[str]:
    """Where another user holds the ports, `up` fails, no command says that a server is ready, and no secret is sent there."""
    fresh = Target.make("held")
    try:
        secrets = [fresh.add_key(LETTERS), *_made_secrets(fresh)]
        with stranger(shell.record, list(fresh.ports.values())) as other:
            assert other.recv() == "listening"
            commands = (
                ("up", "--detach"), ("status", "--json"), ("predict", LETTERS, "The goalie saved it."),
                ("invite", LETTERS, "someone@example.org"), ("run", LETTERS, "labeling"),
            )  # fmt: skip
            with ThreadPoolExecutor(2) as pool:
                results = pool.map(lambda command: fresh.run(*command, seconds=120, ML_ASSETS_API_KEY=secrets[0]), commands)
            for command, done in zip(commands, results, strict=True):
                said = done.stdout + done.stderr
                if command[0] == "status":
                    ready = [name for name, each in json.loads(done.stdout)["services"].items() if each["ready"]]
                    if ready:
                        yield f"`status` takes another user's process for {ready[0]}"
                elif command[0] != "run" and done.returncode == 0:
                    yield f"`ml-assets {' '.join(command)}` succeeds at another user's process: {said[-200:]}"
                if "Traceback" in said:
                    yield f"`ml-assets {' '.join(command)}` ends with a traceback: {said[-300:]}"
            other.send("enough")
            recorded = other.recv()
        for secret in secrets:
            if secret in recorded:
                place = recorded.index(secret)
                yield f"a secret was sent to another user's process: {recorded[max(0, place - 200) : place]!r}"
    finally:
        fresh.down()


def take_the_port_of_a_server_that_died(target: Target) -> Iterator[str]:
    """A port that another user takes while a server is started again gets no secret, and `status` does not call it ready."""
    port = target.ports["label_studio"]
    with stranger(shell.record_when_free, port) as other:
        for process in processes.of_home("label_studio", target.home):
            with suppress(psutil.NoSuchProcess):
                process.kill()
        assert other.poll(30), "the port did not become free"
        assert other.recv() == "listening"
        until = time.monotonic() + 8  # its sensors ask every five seconds
        while time.monotonic() < until:
            done = target.run("status", "--json", seconds=60)
            if done.returncode == 0 and json.loads(done.stdout)["services"]["label_studio"]["ready"]:
                yield "`status` takes another user's process for Label Studio"
                break
        target.run("invite", LETTERS, "someone@example.org", seconds=60)
        other.send("enough")
        recorded = other.recv()
    for secret in target.secrets():
        if secret in recorded:
            yield f"a secret was sent to another user's process: {recorded[: recorded.index(secret)][-200:]!r}"
    back = target.run("up", "--detach")
    if back.returncode:
        yield f"`up` does not bring the server back when its port is free again: {back.stderr[-300:]}"


ATTACKS: tuple[Callable[[Target], Iterator[str]], ...] = (
    find_other_ports, command_a_control_port, connect_to_unix_sockets, drive_dagster, open_dagsters_websocket,
    tamper_with_models, read_the_explorer, ask_the_endpoint_without_a_key, enter_label_studio, read_the_home,
    read_what_lies_in_temporary_folders, replace_what_processes_have_open, read_command_lines_and_environments, read_logs,
    hold_the_ports_before_they_are_used, take_the_port_of_a_server_that_died,
)  # fmt: skip


def _answers(target: Target, service: str, requests: Sequence[Request]) -> list[tuple[int, str]]:
    """Status and text of each answer that the other user gets."""
    found: list[tuple[int, str]] = as_stranger(shell.ask_all, target.ports[service], list(requests), seconds=120)
    return found


# ---- what is known of the installation ----


def _processes(target: Target) -> list[psutil.Process]:
    return processes.of_home(folder=target.home)


def _words(process: psutil.Process) -> str:
    return f"process {process.pid} ({' '.join(process.cmdline())[:100]})"


def _other_ports(target: Target) -> set[int]:
    found = set()
    for process in _processes(target):
        with suppress(psutil.NoSuchProcess):
            found |= {c.laddr.port for c in process.net_connections("tcp") if c.status == psutil.CONN_LISTEN}
    return found - set(target.ports.values())


def _unix_listeners(target: Target) -> list[tuple[str, str]]:
    """Path (abstract ones begin with `@`) and process of each Unix socket that accepts connections."""
    listening = {}
    for line in Path("/proc/net/unix").read_text().splitlines()[1:]:
        fields = line.split()
        if len(fields) == 8 and int(fields[3], 16) & 0x10000:  # __SO_ACCEPTCON
            listening[fields[6]] = fields[7]
    found = []
    for process in _processes(target):
        with suppress(OSError, psutil.NoSuchProcess):
            for entry in os.scandir(f"/proc/{process.pid}/fd"):
                with suppress(OSError):
                    inode = os.readlink(entry.path)
                    if inode.startswith("socket:[") and (path := listening.get(inode[8:-1])):
                        found.append((path, _words(process)))
    return found


def _made_secrets(target: Target) -> list[str]:
    with target.entered():
        from ml_assets.state import credentials

        account = credentials.label_studio()
    return [account.api_key, str(account.password)]


def _get(url: str, headers: dict[str, str] | None = None) -> bytes:
    return httpx.get(url, headers=headers, timeout=60, trust_env=False).raise_for_status().content


def _until(holds: Callable[[], object], seconds: float) -> None:
    until = time.monotonic() + seconds
    while not holds():
        assert time.monotonic() < until
        time.sleep(0.1)
