"""`ml-assets up`: starts the servers, shows their progress, and runs until Ctrl-C."""

import signal
import threading
from types import FrameType

from rich.console import Console

from ml_assets.services import supervisor
from ml_assets.services.supervisor import Status
from ml_assets.state import credentials

WHO = {
    "dagster": "who builds the pipeline: assets, lineage, runs",
    "label_studio": "annotators",
    "mlflow": "who trains: experiments, curves, models",
    "endpoint": "applications: POST /<project>/predict with a key from `ml-assets keys add`",
    "explorer": "everybody: the dataset, item by item",
}


def start(console: Console) -> dict[str, Status]:
    """Start the servers that do not run yet, and print the addresses of their pages."""
    began: dict[str, float] = {}
    with console.status("starting the servers") as line:

        def on_state(service: str, state: str, seconds: float) -> None:
            began[service] = seconds
            line.update(f"starting the servers: {service} is {state} ({seconds:.0f} s)")
            if state == "ready":
                console.print(f"  [green]✓[/green] {service:<13} ready after {seconds:4.1f} s", highlight=False)

        found = supervisor.up(on_state)
    console.print(pages(found), highlight=False, soft_wrap=True)
    return found


def pages(found: dict[str, Status]) -> str:
    """Text with the address of each server, its users, and Label Studio's administrator log-in."""
    account = credentials.label_studio()
    lines = [f"  {name.replace('_', ' '):<14}{status.url:<24}{WHO[name]}" for name, status in found.items()]
    if account.password:
        lines.append(f"  Label Studio's administrator: {account.email}, password {account.password}")
    return "\n".join(lines)


def stay(console: Console) -> None:
    """Wait for Ctrl-C or SIGTERM, then end all servers."""
    console.print("Ctrl-C ends them all.")
    ended = threading.Event()

    def end(number: int, frame: FrameType | None) -> None:
        ended.set()

    before = {number: signal.signal(number, end) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        while not ended.wait(1):
            pass
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
        with console.status("ending the servers"):
            supervisor.down()
        console.print("all servers are down")
