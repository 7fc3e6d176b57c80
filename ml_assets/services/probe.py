"""Readiness checks of servers, with a time limit and without sending secrets."""

import psutil

from ml_assets.network import listeners
from ml_assets.services.catalogue import Server
from ml_assets.state.home import port


def problem(server: Server, pid: int = 0, seconds: float = 2) -> str | None:
    """Check a server; return what is wrong with it, in a few words, or None if it is ready.

    Args:
        server: The server, one that we start or an existing one.
        pid: The main process of one that we start; it or a child must listen, as another program could answer the same.
        seconds: Approximate time limit.
    """
    import httpx

    if not server.ready_path:
        return None
    if server.command and not listens(pid, port(server.name)):
        return _holder(port(server.name))
    try:
        # a proxy from the environment has no business on loopback
        with httpx.Client(timeout=seconds, trust_env=not server.command) as client:
            answer = client.get(server.url + server.ready_path, follow_redirects=False)
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


def listens(pid: int, number: int) -> bool:
    """Whether the process or one of its descendants listens at this TCP port."""
    try:
        process = psutil.Process(pid)
        family = [process, *process.children(recursive=True)] if pid else []
    except (psutil.NoSuchProcess, ValueError):
        return False
    return any(number in ports(one) for one in family)


def ports(process: psutil.Process) -> set[int]:
    """The TCP ports at which a process listens; none if it has ended or belongs to another user."""
    try:
        found = process.net_connections("tcp")
    except (psutil.NoSuchProcess, psutil.AccessDenied, FileNotFoundError):
        return set()
    return {one.laddr.port for one in found if one.status == psutil.CONN_LISTEN}


def _holder(number: int) -> str:
    user = listeners.holder(number)
    if user is None:
        return f"nothing listens at port {number}"
    if not listeners.trusted(user):
        return f"port {number} is held by another user of this machine (user id {user})"
    other = next((one for one in psutil.process_iter() if number in ports(one)), None)
    return f"port {number} is held by another program" + (f" ({other.name()}, process {other.pid})" if other else "")
