"""A web page of another origin, open in a browser of this machine: it may send requests, but never read or change anything."""

import json
from collections.abc import Callable, Iterator
from typing import Any

import httpx
from playwright.sync_api import Browser

from .dagster_calls import REPORT, answered, calls, state
from .target import LETTERS, REPORTED, Target
from .wire import ask, upgrade

EVIL = "http://evil.example"
SERVERS = ("dagster", "mlflow", "label_studio", "explorer", "endpoint")


def foreign_origins(target: Target) -> list[str]:
    """Origins that are not the server's own, however like it they look."""
    port = target.ports["dagster"]
    return [EVIL, "null", f"http://127.0.0.1:{target.ports['explorer'] + 1}", f"http://localhost:{port}.evil.example",
            f"http://127.0.0.1.evil.example:{port}", f"http://[::1]:{port + 1}", "http://127.0.0.1"]  # fmt: skip


def rebind_a_name(target: Target) -> Iterator[str]:
    """A name of another host that now points at 127.0.0.1 gets nothing: the header `Host` then is that name."""
    reads = {"dagster": "/server_info", "mlflow": "/", "explorer": f"/{LETTERS}/", "label_studio": "/user/login/"}
    for service, path in reads.items():
        port = target.ports[service]
        for host in ("evil.example", f"evil.example:{port}", f"127.0.0.1.evil.example:{port}", f"localhost.evil.example:{port}",
                     f"evil.example:{port}@127.0.0.1", f"127.0.0.1:{port}.evil.example", "[2001:db8::1]", "0x7f000001.evil", "",
                     f"127.0.0.1, evil.example:{port}", "evil.example#127.0.0.1"):  # fmt: skip
            status, text = ask(port, "GET", path, {"Host": host}, None)
            if not (status == 0 or 400 <= status < 500):
                yield f"{service} answers Host {host!r}: {status} {text[:60]!r}"
        for header in ("X-Forwarded-Host", "Forwarded"):
            value = f"host=127.0.0.1:{port}" if header == "Forwarded" else f"127.0.0.1:{port}"
            status, _ = ask(port, "GET", path, {"Host": "evil.example", header: value}, None)
            if not (status == 0 or 400 <= status < 500):
                yield f"{service} believes {header} of a foreign host"


def read_an_answer(target: Target) -> Iterator[str]:
    """No server lets a page of another origin read its answers: none sends `Access-Control-Allow-Origin` to it."""
    paths = {"dagster": "/graphql", "mlflow": "/api/2.0/mlflow/experiments/search", "label_studio": "/api/projects",
             "explorer": f"/{LETTERS}/", "endpoint": f"/{LETTERS}/predict"}  # fmt: skip
    for service, path in paths.items():
        for origin in foreign_origins(target):
            for method in ("GET", "POST", "OPTIONS"):
                headers = {"Origin": origin, "Content-Type": "application/json"}
                headers |= {"Access-Control-Request-Method": "POST"} if method == "OPTIONS" else {}
                answer = httpx.request(method, target.url(service) + path, headers=headers, timeout=30, trust_env=False)
                allowed = answer.headers.get("Access-Control-Allow-Origin")
                if allowed in ("*", origin):
                    yield f"{service} lets {origin} read {method} {path} (Access-Control-Allow-Origin: {allowed})"
                    break


def drive_dagster(target: Target) -> Iterator[str]:
    """No request that a foreign page can send changes Dagster: by GET, as text, as a form, as JSON, with any Origin or none."""
    before = state(target)
    for origin in foreign_origins(target):
        for headers in ({"Origin": origin, "Referer": origin + "/"}, {"Referer": origin + "/", "Sec-Fetch-Site": "cross-site"}):
            yield from _driven(target, headers, f"with {next(iter(headers))} {origin}")
    for name, method, path, headers, body in calls():
        if "mutation" in path or "Content-Type" not in headers or "json" not in headers["Content-Type"]:
            # what a page sends without asking first; an old browser sends no Origin and no Sec-Fetch-Site with an image
            if name.startswith("read"):
                continue
            status, text = ask(target.ports["dagster"], method, path, headers, body)
            if answered(status, text):
                yield f"{name} without Origin is answered {status}: {text[:60]!r}"
    if state(target) != before:
        yield f"Dagster's runs or materialisations are others: {before} became {state(target)}"


def _driven(target: Target, foreign: dict[str, str], words: str) -> Iterator[str]:
    for name, method, path, headers, body in calls():
        if name in ("read the page", "read a log"):
            continue
        status, text = ask(target.ports["dagster"], method, path, headers | foreign, body)
        if answered(status, text):
            yield f"{name} {words} is answered {status}: {text[:60]!r}"
            break


def open_websockets(target: Target) -> Iterator[str]:
    """A WebSocket of a foreign origin is refused by every server."""
    for service in SERVERS:
        for path in ("/graphql", "/ws", "/"):
            for origin in foreign_origins(target):
                if upgrade(target.ports[service], path, {"Origin": origin}):
                    yield f"{service} opens a WebSocket at {path} for {origin}"
            if upgrade(target.ports[service], path, {"Host": "evil.example", "Origin": EVIL}):
                yield f"{service} opens a WebSocket at {path} for the host evil.example"


def drive_mlflow(target: Target) -> Iterator[str]:
    """No request of a foreign page writes in MLflow, whatever its content type says."""
    before = _experiments(target)
    for origin in foreign_origins(target):
        for kind in ("application/json", "text/plain", "application/x-www-form-urlencoded", ""):
            for prefix in ("/api", "/ajax-api"):
                path, body = f"{prefix}/2.0/mlflow/experiments/create", json.dumps({"name": f"by {origin} {kind} {prefix}"})
                headers = {"Origin": origin, "Sec-Fetch-Site": "cross-site"} | ({"Content-Type": kind} if kind else {})
                status, text = ask(target.ports["mlflow"], "POST", path, headers, body)
                if answered(status, text):
                    yield f"{path} as {kind!r} with Origin {origin} is answered {status}: {text[:60]!r}"
    if (after := _experiments(target)) != before:
        yield f"{after - before} experiments were made"


def drive_label_studio(target: Target) -> Iterator[str]:
    """A logged-in administrator's browser changes nothing in Label Studio for a foreign page: cookies alone are not enough."""
    url, account = target.url("label_studio"), target.administrator()
    with httpx.Client(base_url=url, timeout=60, trust_env=False) as browser:
        _log_in(browser, str(account.email), str(account.password))
        before = _projects(target)
        for origin in foreign_origins(target):
            for kind, body in (("application/json", '{"title": "evil"}'), ("text/plain", '{"title": "evil"}'),
                               ("application/x-www-form-urlencoded", "title=evil")):  # fmt: skip
                headers = {"Origin": origin, "Referer": f"{origin}/", "Content-Type": kind}
                answer = browser.post("/api/projects/", content=body, headers=headers)
                if answer.status_code < 400:
                    yield f"a project is made by a page of {origin} as {kind}: {answer.status_code}"
        if (after := _projects(target)) != before:
            yield f"{after - before} projects were made"
        page = browser.get("/projects/").headers
    policy = page.get("Content-Security-Policy", "")
    if "script-src" not in policy and "default-src" not in policy:
        yield f"Label Studio sends no content security policy that is enforced: {policy!r}"
    if "frame-ancestors" not in policy and page.get("X-Frame-Options", "").upper() not in ("DENY", "SAMEORIGIN"):
        yield "Label Studio's pages may be framed by other pages"


def frame_pages(target: Target) -> Iterator[str]:
    """No server's page may stand in the frame of another page, where a click would be stolen."""
    for service in ("dagster", "mlflow", "explorer"):
        headers = httpx.get(target.url(service) + "/", timeout=30, trust_env=False).headers
        policy = headers.get("Content-Security-Policy", "")
        if "frame-ancestors" not in policy and headers.get("X-Frame-Options", "").upper() not in ("DENY", "SAMEORIGIN"):
            yield f"{service} may be framed by any page"


ATTACKS: tuple[Callable[[Target], Iterator[str]], ...] = (
    rebind_a_name, read_an_answer, drive_dagster, open_websockets, drive_mlflow, drive_label_studio, frame_pages,
)  # fmt: skip


PAGE = """<!doctype html><title>evil</title><body><script>
const [dagster, mlflow, labels, explorer, endpoint] = PORTS.map(port => `http://127.0.0.1:${port}`);
const report = REPORT, make = JSON.stringify({name: "by a page"}), read = [];
const image = url => new Promise(done => { const i = new Image(); i.onload = i.onerror = done; i.src = url; });
const post = (url, body, type) =>
  fetch(url, {method: "POST", mode: "no-cors", credentials: "include", body, headers: {"Content-Type": type}}).catch(() => 0);
const look = url => fetch(url, {credentials: "include"}).then(a => a.text()).then(t => read.push(url + " " + t.slice(0, 80)))
  .catch(() => 0);
const form = (action, fields, enctype) => new Promise(done => {
  const frame = document.createElement("iframe"), f = document.createElement("form");
  frame.name = f.target = "frame" + Math.random(); f.action = action; f.method = "POST"; f.enctype = enctype;
  for (const [name, value] of Object.entries(fields)) {
    const i = document.createElement("input"); i.name = name; i.value = value; f.append(i);
  }
  document.body.append(frame, f); frame.onload = () => setTimeout(done, 300); f.submit();
});
const socket = (url, protocol) => new Promise(done => {
  const s = new WebSocket(url, protocol);
  s.onopen = () => { read.push(url + " opened"); s.close(); done(); }; s.onerror = done;
});
(async () => {
  await image(`${dagster}/graphql?query=${encodeURIComponent(report)}`);
  for (const type of ["text/plain", "application/x-www-form-urlencoded", "application/json"]) {
    await post(`${dagster}/graphql`, JSON.stringify({query: report}), type);
    await post(`${dagster}/report_asset_materialization/letters/samples`, "{}", type);
    await post(`${mlflow}/api/2.0/mlflow/experiments/create`, make, type);
    await post(`${labels}/api/projects/`, JSON.stringify({title: "by a page"}), type);
    await post(`${endpoint}/letters/samples`, JSON.stringify({samples: ["by a page"]}), type);
  }
  for (const enctype of ["application/x-www-form-urlencoded", "multipart/form-data", "text/plain"]) {
    await form(`${dagster}/graphql`, {query: report}, enctype);
    await form(`${dagster}/report_asset_materialization/letters/samples`, {}, enctype);
    await form(`${labels}/api/projects/`, {title: "by a page"}, enctype);
  }
  for (const url of [`${dagster}/graphql?query={version}`, `${mlflow}/ajax-api/2.0/mlflow/registered-models/search`,
    `${labels}/api/projects`, `${labels}/api/current-user/token`, `${explorer}/letters/`, `${endpoint}/metrics`]) {
    await look(url);
  }
  await socket(dagster.replace("http", "ws") + "/graphql", "graphql-ws");
  await socket(labels.replace("http", "ws") + "/", "x");
  document.title = "done " + JSON.stringify(read);
})();
</script>"""


def visit_a_page(target: Target, browser: Browser) -> Iterator[str]:
    """A page on another port, in a Chromium in which the administrator is logged in: it changes nothing and reads nothing."""
    import http.server
    import threading

    page = PAGE.replace("PORTS", json.dumps([target.ports[service] for service in SERVERS])).replace(
        "REPORT", json.dumps(REPORT)
    )

    class Evil(http.server.BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(200)
            self.send_header("Content-Type", "text/html")
            self.end_headers()
            self.wfile.write(page.encode())

        def log_message(self, format: str, *arguments: Any) -> None:
            pass

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Evil)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    account, before = target.administrator(), _everything(target)
    context = browser.new_context()
    try:
        tab = context.new_page()
        tab.goto(target.url("label_studio") + "/user/login/")
        tab.fill("input[name=email]", str(account.email))
        tab.fill("input[name=password]", str(account.password))
        tab.click("button[type=submit]")
        tab.wait_for_url(lambda url: "/user/login" not in url, timeout=60_000, wait_until="commit")
        for host in ("127.0.0.1", "localhost"):
            tab.goto(f"http://{host}:{server.server_port}/")
            tab.wait_for_function("document.title.startsWith('done')", timeout=90_000)
            for read in json.loads(tab.title().removeprefix("done ")):
                yield f"a page of {host} read {read}"
    finally:
        context.close()
        server.shutdown()
        server.server_close()
    after = _everything(target)
    if after != before:
        yield f"the page changed {[name for name in after if after[name] != before[name]]}: {before} became {after}"


def _everything(target: Target) -> dict[str, Any]:
    inbox = target.home / "inbox"
    return {
        "Dagster": state(target), "MLflow": _experiments(target), "Label Studio": _projects(target),
        "the inbox": len(list(inbox.rglob("*.jsonl"))), "the report": REPORTED,
    }  # fmt: skip


def _experiments(target: Target) -> int:
    return len(target.mlflow("POST", "experiments/search", max_results=1000)["experiments"])


def _projects(target: Target) -> int:
    headers = {"Authorization": f"Token {target.administrator().api_key}"}
    answer = httpx.get(f"{target.url('label_studio')}/api/projects", headers=headers, timeout=60, trust_env=False)
    return int(answer.raise_for_status().json()["count"])


def _log_in(browser: httpx.Client, email: str, password: str) -> None:
    page = browser.get("/user/login/")
    form = {"email": email, "password": password, "csrfmiddlewaretoken": page.cookies["csrftoken"]}
    answer = browser.post("/user/login/", data=form, headers={"Referer": str(page.url)})
    assert "sessionid" in browser.cookies, f"the administrator cannot log in: {answer.status_code}"
