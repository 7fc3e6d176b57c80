"""A real process that speaks S3 on a free port."""

import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
from installation import free_port, wait_until

BUCKET = "team-data"


@dataclass(frozen=True)
class ObjectStore:
    """A running server with one bucket, `BUCKET`."""

    url: str

    @property
    def environment(self) -> dict[str, str]:
        """The variables with which programs find it."""
        return {
            "AWS_ENDPOINT_URL": self.url,
            "AWS_ACCESS_KEY_ID": "a-key-id",
            "AWS_SECRET_ACCESS_KEY": "a-secret-of-the-object-store",
            "AWS_DEFAULT_REGION": "us-east-1",
        }

    @property
    def client(self) -> Any:
        """A client of Amazon's own library."""
        import boto3

        given = self.environment
        return boto3.client(
            "s3",
            endpoint_url=self.url,
            aws_access_key_id=given["AWS_ACCESS_KEY_ID"],
            aws_secret_access_key=given["AWS_SECRET_ACCESS_KEY"],
            region_name=given["AWS_DEFAULT_REGION"],
        )

    def put(self, key: str, content: str) -> None:
        """Store an object."""
        self.client.put_object(Bucket=BUCKET, Key=key, Body=content.encode())

    def keys(self, prefix: str = "") -> list[str]:
        """The names of all objects below a prefix."""
        pages = self.client.get_paginator("list_objects_v2").paginate(Bucket=BUCKET, Prefix=prefix)
        return [entry["Key"] for page in pages for entry in page.get("Contents", [])]


@contextmanager
def server(log: Path) -> Iterator[ObjectStore]:
    """Start the server, and end it."""
    port = free_port()
    made = ObjectStore(f"http://127.0.0.1:{port}")
    with log.open("wb") as out:
        process = subprocess.Popen(
            [sys.executable, "-m", "moto.server", "-H", "127.0.0.1", "-p", str(port)], stdout=out, stderr=out
        )
    try:
        wait_until(lambda: process.poll() is not None or _answers(made), 60)
        assert process.poll() is None, log.read_text()
        made.client.create_bucket(Bucket=BUCKET)
        yield made
    finally:
        process.kill()
        process.wait()


def _answers(server: ObjectStore) -> bool:
    try:
        return httpx.get(server.url, timeout=5, trust_env=False).status_code < 500
    except httpx.TransportError:
        return False
