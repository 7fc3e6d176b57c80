"""Variables that are meant for other programs change nothing here, and no proxy is asked for this machine's servers."""

import httpx
import pytest
import requests

from ml_assets.state.surroundings import inherited, spare_loopback

OTHERS = {
    "WEB_CONCURRENCY": "7", "ALLOWED_HOSTS": "example.org", "DATABASE_NAME": "shop", "SECRET_KEY": "x", "HOST": "shop",
    "PORT": "1", "DEBUG": "1", "REDIS_LOCATION": "x", "GUNICORN_CMD_ARGS": "--workers 9", "FLASK_APP": "shop",
    "DJANGO_SETTINGS_MODULE": "shop.settings", "UVICORN_WORKERS": "9", "LOG_LEVEL": "whatever", "SENTRY_DSN": "https://x",
}  # fmt: skip
OURS = {
    "PATH": "/bin", "HOME": "/root", "LC_ALL": "C", "https_proxy": "http://p", "HTTP_PROXY": "http://p", "NO_PROXY": "x",
    "AWS_ACCESS_KEY_ID": "a", "ML_ASSETS_STORE": "s", "LABEL_STUDIO_LOG_LEVEL": "INFO", "MLFLOW_S3_ENDPOINT_URL": "s",
    "DJANGO_DB": "default", "POSTGRE_HOST": "db", "PYTHONPATH": "x", "SSL_CERT_FILE": "c", "TMPDIR": "/tmp",
}  # fmt: skip


def test_a_server_takes_over_what_it_needs_alone() -> None:
    assert inherited(False, OTHERS | OURS) == OURS


def test_those_that_run_projects_take_over_what_a_yaml_may_name() -> None:
    found = inherited(True, OTHERS | OURS | {"DATA": "/data"})
    assert found["DATA"] == "/data"
    assert found.items() >= OURS.items()
    assert not {"WEB_CONCURRENCY", "GUNICORN_CMD_ARGS", "FLASK_APP", "DJANGO_SETTINGS_MODULE", "UVICORN_WORKERS"} & found.keys()


@pytest.mark.parametrize("name", ["HTTP_PROXY", "http_proxy", "ALL_PROXY", "HTTPS_PROXY"])
@pytest.mark.parametrize("spared", ["", "example.org, .local"])
def test_no_proxy_is_asked_for_servers_of_this_machine(name: str, spared: str, monkeypatch: pytest.MonkeyPatch) -> None:
    for other in ("http_proxy", "https_proxy", "all_proxy", "no_proxy"):
        monkeypatch.delenv(other, raising=False)
        monkeypatch.delenv(other.upper(), raising=False)
    monkeypatch.setenv(name, "http://proxy.example:3128")
    if spared:
        monkeypatch.setenv("NO_PROXY", spared)
    spare_loopback()
    for host in ("127.0.0.1", "localhost"):
        assert requests.utils.should_bypass_proxies(f"http://{host}:8000/x", None)
        with httpx.Client() as client:
            assert client._transport_for_url(httpx.URL(f"http://{host}:8000/")) is client._transport
    assert not requests.utils.should_bypass_proxies("http://example.com/", None)
    assert bool(spared) == requests.utils.should_bypass_proxies("http://example.org/", None)


def test_without_a_proxy_nothing_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    import os

    for name in [name for name in os.environ if name.lower().endswith("_proxy")]:
        monkeypatch.delenv(name)
    spare_loopback()
    assert "NO_PROXY" not in os.environ
