"""The application inside the test's own process, with one real model: what needs no server of its own."""

import asyncio
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import httpx

from ml_assets.deployment import keys
from ml_assets.deployment.endpoint import create_app
from ml_assets.state.clock import now

Ask = Callable[[httpx.AsyncClient], Awaitable[Any]]


def inside(model: Path, work: Ask, secret: str | None = None) -> Any:
    """What `work` returns, which gets a client of the application that serves the model in this folder."""

    async def run() -> Any:
        app = create_app(model)
        headers = {"Authorization": f"Bearer {secret}"} if secret else {}
        async with app.router.lifespan_context(app):
            transport = httpx.ASGITransport(app, raise_app_exceptions=False)
            async with httpx.AsyncClient(transport=transport, base_url="http://test", headers=headers, timeout=60) as client:
                return await work(client)

    return asyncio.run(run())


def key(project: str, name: str = "the app", scopes: tuple[str, ...] = keys.SCOPES, **more: Any) -> str:
    """The secret of a new key."""
    return keys.add(project, scopes, name, now(), **more)
