"""Another user of the machine, with a shell and nothing else: every port, every file, every name that is free to take."""

import http.client
import json
import os
import re
import socket
import stat
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from multiprocessing.connection import Connection
from pathlib import Path

import httpx
import psutil
import zmq
from stranger import as_stranger, stranger

from ml_assets.services import processes

from .dagster_calls import answered, calls, state
from .target import LETTERS, MODEL_FILE, REPORTED, Target, artifact
from .wire import Request, ask, upgrade

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
        answer = as_stranger(_circus, number, f"/usr/bin/touch {proof}")
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
        if as_stranger(_connects, path):
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
    if any("sessionid" in cookies for cookies in as_stranger(_fill_in, port, forms)):
        yield f"the password of {account.email} was guessed"
    form = {"email": "stranger@example.org", "password": "correct-horse-9", "allow_newsletters": "false"}
    as_stranger(_fill_in, port, [(f"/user/signup/{link}", form) for link in ("", "?token=", "?token=" + "0" * 32)])
    people = _get(f"{target.url('label_studio')}/api/users", {"Authorization": f"Token {account.api_key}"})
    if b"stranger@example.org" in people:
        yield "an account was made without an invitation"


def read_the_home(target: Target) -> Iterator[str]:
    """No file below the home can be read by another user, and no folder listed, whatever path they know."""
    known = [str(path) for path in target.home.rglob("*")]
    found = as_stranger(_readable, [str(target.home), *known])
    if found:
        yield f"{len(found)} of {len(known)} files and folders of the home can be read, such as {found[0]}"


def read_what_lies_in_temporary_folders(target: Target) -> Iterator[str]:
    """Nothing that the servers leave in `/tmp` or shared memory can be read, written, renamed or replaced by another user."""
    known = [str(path) for path in target.temporary.rglob("*")]
    if found := as_stranger(_readable, known):
        yield f"{len(found)} files and folders can be read, such as {found[:5]}"
    if found := as_stranger(_replaceable, known):
        yield f"{len(found)} files and folders can be replaced, such as {found[:5]}"


def replace_what_processes_have_open(target: Target) -> Iterator[str]:
    """No file that a server has open can be written by another user, nor lies in a folder in which they may rename it."""
    opened: set[str] = set()
    for process in _processes(target):
        with suppress(psutil.NoSuchProcess, psutil.AccessDenied):
            opened |= {each.path for each in process.open_files()}
            opened |= {each.path for each in process.memory_maps() if each.path.startswith("/")}
    files = sorted(path for path in opened if os.path.isfile(path))
    if found := as_stranger(_writable, files):
        yield f"{len(found)} open files can be written, such as {found[:5]}"


def read_command_lines_and_environments(target: Target) -> Iterator[str]:
    """No secret stands in a command line, which every user sees; environments cannot be read by others."""
    secrets = target.secrets()
    for pid, line, environment in as_stranger(_proc, [process.pid for process in _processes(target)]):
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
        with stranger(_record, list(fresh.ports.values())) as other:
            assert other.recv() == "listening"
            for command in (
                ("up", "--detach"),
                ("status", "--json"),
                ("predict", LETTERS, "The goalie saved it."),
                ("invite", LETTERS, "someone@example.org"),
                ("run", LETTERS, "labeling"),
            ):
                done = fresh.run(*command, seconds=120, ML_ASSETS_API_KEY=secrets[0])
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
    with stranger(_record_when_free, port) as other:
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
    target.command("up", "--detach")


ATTACKS: tuple[Callable[[Target], Iterator[str]], ...] = (
    find_other_ports, command_a_control_port, connect_to_unix_sockets, drive_dagster, open_dagsters_websocket,
    tamper_with_models, read_the_explorer, ask_the_endpoint_without_a_key, enter_label_studio, read_the_home,
    read_what_lies_in_temporary_folders, replace_what_processes_have_open, read_command_lines_and_environments, read_logs,
    hold_the_ports_before_they_are_used, take_the_port_of_a_server_that_died,
)  # fmt: skip


def _answers(target: Target, service: str, requests: Sequence[Request]) -> list[tuple[int, str]]:
    """Status and text of each answer that the other user gets."""
    found: list[tuple[int, str]] = as_stranger(_ask_all, target.ports[service], list(requests), seconds=120)
    return found


# ---- what the other user runs; nothing here may read a file of the checkout ----


def _ask_all(port: int, requests: list[Request]) -> list[tuple[int, str]]:
    return [ask(port, *request) for request in requests]


def _fill_in(port: int, forms: list[tuple[str, dict[str, str]]]) -> list[str]:
    return [_log_in(port, path, form) for path, form in forms]


def _log_in(port: int, path: str, form: dict[str, str]) -> str:
    """The cookies that Django sends after its form was filled in, with its own token against forgery."""
    from urllib.parse import urlencode

    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=20)
    connection.request("GET", path)
    page = connection.getresponse()
    page.read()
    token = re.search(r"csrftoken=([^;]+)", page.headers.get("Set-Cookie", ""))
    secret = token.group(1) if token else ""
    body = urlencode(form | {"csrfmiddlewaretoken": secret})
    headers = {"Content-Type": "application/x-www-form-urlencoded", "Cookie": f"csrftoken={secret}"}
    connection.request("POST", path, body, headers | {"Referer": f"http://127.0.0.1:{port}{path}"})
    answer = connection.getresponse()
    answer.read()
    return "; ".join(answer.headers.get_all("Set-Cookie") or []) if answer.status == 302 else ""


def _circus(port: int, command: str) -> str | None:
    """What circus answers to a new process that is to be started; None if nothing answers."""
    with zmq.Context() as context, context.socket(zmq.DEALER) as channel:
        channel.setsockopt(zmq.LINGER, 0)
        channel.connect(f"tcp://127.0.0.1:{port}")
        wanted = {"name": "stranger", "cmd": command, "start": True, "options": {"shell": True}}
        channel.send(json.dumps({"id": "1", "command": "add", "properties": wanted}).encode())
        return channel.recv().decode(errors="replace")[:200] if channel.poll(2000) else None


def _connects(path: str) -> bool:
    with socket.socket(socket.AF_UNIX) as connection:
        connection.settimeout(5)
        try:
            connection.connect("\0" + path[1:] if path.startswith("@") else path)
        except OSError:
            return False
        return True


def _readable(paths: list[str]) -> list[str]:
    """Files that can be opened, folders that can be listed and hold something."""
    found = []
    for path in paths:
        try:
            if stat.S_ISDIR(os.stat(path).st_mode):
                if not os.listdir(path):
                    continue
            elif stat.S_ISREG(os.stat(path).st_mode):
                os.close(os.open(path, os.O_RDONLY))
            else:
                continue
        except OSError:
            continue
        found.append(path)
    return found


def _replaceable(paths: list[str]) -> list[str]:
    """Those that can be renamed (and are put back), or written."""
    found = []
    for path in paths:
        with suppress(OSError):
            os.rename(path, path + ".taken")
            os.rename(path + ".taken", path)
            found.append(path)
            continue
        if not os.path.isdir(path) and os.path.exists(path) and os.access(path, os.W_OK):
            found.append(path)
    return found


def _writable(paths: list[str]) -> list[str]:
    """Those that can be written, or whose folder lets another user rename them."""
    found = []
    for path in paths:
        folder = os.path.dirname(path)
        sticky = os.path.isdir(folder) and os.stat(folder).st_mode & stat.S_ISVTX
        if os.access(path, os.W_OK) or (os.access(folder, os.W_OK) and not sticky):
            found.append(path)
    return found


def _proc(pids: list[int]) -> list[tuple[int, str, bool]]:
    """Of each process the command line, and whether its environment can be read."""
    found = []
    for pid in pids:
        try:
            with open(f"/proc/{pid}/cmdline", "rb") as file:
                line = file.read().replace(b"\0", b" ").decode(errors="replace")
        except OSError:
            continue
        try:
            with open(f"/proc/{pid}/environ", "rb") as file:
                readable = bool(file.read())
        except OSError:
            readable = False
        found.append((pid, line, readable))
    return found


def _record(connection: Connection, ports: list[int]) -> None:
    """Hold the ports, answer like a server that is ready, and keep what was sent until told that it is enough."""
    listeners = []
    for port in ports:
        listener = socket.socket()
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind(("127.0.0.1", port))
        listener.listen(64)
        listeners.append(listener)
    connection.send("listening")
    connection.send(_answer_until_enough(connection, listeners))


def _record_when_free(connection: Connection, port: int) -> None:
    """The same for one port, as soon as nobody holds it."""
    until = time.monotonic() + 25
    while time.monotonic() < until:
        listener = socket.socket()
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            listener.bind(("127.0.0.1", port))
            listener.listen(64)
        except OSError:
            listener.close()
            time.sleep(0.002)
            continue
        connection.send("listening")
        connection.send(_answer_until_enough(connection, [listener]))
        return


def _answer_until_enough(connection: Connection, listeners: list[socket.socket]) -> str:
    import selectors

    said, waiting = bytearray(), selectors.DefaultSelector()
    for listener in listeners:
        waiting.register(listener, selectors.EVENT_READ)
    waiting.register(connection, selectors.EVENT_READ)
    body = b'{"email": "admin@localhost.example", "status": "UP", "dagster_webserver_version": "1", "predictions": [], "id": 1}'
    body += b" OK ml_assets explorer"
    answer = b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nConnection: close\r\nContent-Length: %d\r\n\r\n%s"
    while True:
        for key, _ in waiting.select():
            if key.fileobj is connection:
                return said.decode(errors="replace")
            client, _ = key.fileobj.accept()  # type: ignore[union-attr]
            with client:
                client.settimeout(2)
                with suppress(OSError):
                    said += client.recv(65_536) + b"\n"
                    client.sendall(answer % (len(body), body))


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
        from ml_assets import credentials

        account = credentials.label_studio()
    return [account.api_key, str(account.password)]


def _get(url: str, headers: dict[str, str] | None = None) -> bytes:
    return httpx.get(url, headers=headers, timeout=60, trust_env=False).raise_for_status().content


def _until(holds: Callable[[], object], seconds: float) -> None:
    until = time.monotonic() + seconds
    while not holds():
        assert time.monotonic() < until
        time.sleep(0.1)
