"""The explorer: a web server for the reports under `<home>/reports`, with a page that lists them by project."""

from collections.abc import Mapping
from contextlib import suppress
from datetime import UTC, datetime
from html import escape
from pathlib import Path
from urllib.parse import quote

from starlette.applications import Starlette
from starlette.datastructures import MutableHeaders
from starlette.middleware import Middleware
from starlette.middleware.trustedhost import TrustedHostMiddleware
from starlette.requests import Request
from starlette.responses import HTMLResponse, PlainTextResponse
from starlette.routing import Mount, Route
from starlette.staticfiles import StaticFiles
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from ml_assets.network.guard import given_hosts, serve
from ml_assets.state.home import home
from ml_assets.state.private import keep_private
from ml_assets.store.records import is_text

# reports carry their script, style and pictures inside them; nothing is loaded from, or sent to, anywhere else. A report lets
# its own script run alone, by its hash; what a page shows of samples cannot run, here nor there
POLICY = (
    "default-src 'none'; script-src 'self' 'unsafe-inline'; style-src 'self' 'unsafe-inline'; img-src 'self' data: blob:; "
    "media-src 'self' data: blob:; font-src 'self' data:; connect-src 'none'; base-uri 'none'; form-action 'none'; "
    "frame-ancestors 'none'"
)
HEADERS = {
    "X-Content-Type-Options": "nosniff",
    "Content-Security-Policy": POLICY,
    "Referrer-Policy": "no-referrer",
    # pages of other origins can neither embed a report nor hold on to its window
    "Cross-Origin-Resource-Policy": "same-origin",
    "Cross-Origin-Opener-Policy": "same-origin",
    # a report is rewritten in place when its dataset changes
    "Cache-Control": "no-cache",
}

# the look of the reports
STYLE = (
    ":root{color-scheme:light dark;--paper:#fcfcfa;--ink:#1c1c1a;--soft:#605f58;--line:#e4e3dd;--link:#0b5a9e}"
    "@media(prefers-color-scheme:dark){:root{--paper:#15171a;--ink:#e6e5e0;--soft:#a5a49c;--line:#2d3036;--link:#86bdf2}}"
    "body{margin:48px auto;max-width:640px;padding:0 28px;background:var(--paper);color:var(--ink);"
    "font:15px/1.5 system-ui,sans-serif}h1{font-size:17px}ul{margin:0;padding:0;list-style:none}"
    "li{display:flex;gap:12px;padding:10px 0;border-top:1px solid var(--line)}small{margin-left:auto;color:var(--soft)}"
    "a{color:var(--link);text-decoration:none}a:hover{text-decoration:underline}"
)


def application(reports: Path) -> Starlette:
    """Make the web application for a folder of reports, `<project>.html` or `<project>/*.html`."""

    names = {"127.0.0.1", "localhost", *(name.partition(":")[0] for name in given_hosts())}

    def index(request: Request) -> HTMLResponse:
        return HTMLResponse(_index(reports))

    def live(request: Request) -> PlainTextResponse:
        return PlainTextResponse("ml_assets explorer")

    return Starlette(
        routes=[
            Route("/", index),
            Route("/livez", live),
            # serves nothing outside the folder, neither by `..` nor by a symbolic link
            Mount("/", StaticFiles(directory=reports, html=True)),
        ],
        middleware=[
            Middleware(_Headers),
            # a page elsewhere that points its own name at 127.0.0.1 gets nothing
            Middleware(TrustedHostMiddleware, allowed_hosts=sorted(names)),
        ],
    )


def _index(reports: Path) -> str:
    pages: dict[str, dict[Path, float]] = {}
    for path in sorted([*reports.glob("*.html"), *reports.glob("*/*.html")]):
        inside = path.relative_to(reports)
        project = inside.stem if len(inside.parts) == 1 else inside.parts[0]
        with suppress(OSError):  # one that goes meanwhile, or a link that leads nowhere
            if is_text(str(inside)):
                pages.setdefault(project, {})[inside] = path.stat().st_mtime
    items = "\n".join(_item(project, written) for project, written in pages.items())
    return (
        '<!doctype html><html lang="en"><meta charset="utf-8"><meta name="viewport" content="width=device-width">'
        f'<link rel="icon" href="data:,"><title>Datasets</title><style>{STYLE}</style><h1>Datasets</h1>'
        + (
            f"<ul>{items}</ul>"
            if items
            else "<p>No report yet: a project's first <code>dataset_report</code> appears here.</p>"
        )
        + "</html>"
    )


def _item(project: str, pages: Mapping[Path, float]) -> str:
    """Make a project's line of the list: a link to its one report, or links to several, and when they were written."""
    written = datetime.fromtimestamp(max(pages.values()), UTC)
    if [path.name for path in pages] == ["index.html"]:
        line = f'<a href="/{quote(project)}/">{escape(project)}</a>'
    else:
        links = (f'<a href="/{quote(path.as_posix())}">{escape(path.stem)}</a>' for path in pages)
        line = f"<b>{escape(project)}</b> " + " · ".join(links)
    return f"<li>{line}<small>{written.day} {written:%b %Y, %H:%M} UTC</small>"


class _Headers:
    """ASGI middleware that adds the security headers to every response, including errors."""

    def __init__(self, app: ASGIApp):
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        async def send_with_headers(message: Message) -> None:
            if message["type"] == "http.response.start":
                MutableHeaders(scope=message).update(HEADERS)
            await send(message)

        await self.app(scope, receive, send_with_headers)


def main() -> None:
    """Serve the reports until SIGTERM."""
    keep_private()
    reports = home() / "reports"
    reports.mkdir(parents=True, exist_ok=True)
    serve(application(reports), "explorer")


if __name__ == "__main__":
    main()
