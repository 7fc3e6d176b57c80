"""Whether a server answers as it should, asked with a time limit."""

from ml_assets.services.catalogue import Server


def problem(server: Server, seconds: float = 2) -> str | None:
    """What is wrong with the server, in a few words; None when it is ready. Returns within about `seconds`."""
    import httpx

    if not server.ready_path:
        return None
    try:
        # a proxy from the environment has no business on loopback
        with httpx.Client(timeout=seconds, trust_env=not server.command) as client:
            answer = client.get(server.url + server.ready_path, headers=dict(server.headers()), follow_redirects=False)
    except httpx.TimeoutException:
        return f"no answer within {seconds:g} s"
    except httpx.TransportError as error:
        return f"no connection ({type(error).__name__})"
    except httpx.InvalidURL as error:
        return f"not an address ({error})"
    if answer.status_code != 200:
        return f"{server.ready_path} answers {answer.status_code}"
    if server.expected not in answer.text:
        return f"another program answers at {server.url}"
    return None
