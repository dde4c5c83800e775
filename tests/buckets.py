"""Buckets to test with: one in memory, and S3 as moto's server speaks it."""

import logging
import secrets
from collections.abc import Iterator
from typing import Any

import pytest

from vivavoce.store.bucket import Bucket, bucket_at

KEYS = {"AWS_ACCESS_KEY_ID": "AKIAOPEN", "AWS_SECRET_ACCESS_KEY": "open-sesame", "AWS_REGION": "us-east-1"}
"""What a bucket of ``S3`` needs of the environment."""


class S3:
    """A running server that speaks S3."""

    def __init__(self, endpoint: str) -> None:
        import boto3

        self.endpoint = endpoint
        self.client: Any = boto3.client(
            "s3",
            endpoint_url=endpoint,
            region_name=KEYS["AWS_REGION"],
            aws_access_key_id=KEYS["AWS_ACCESS_KEY_ID"],
            aws_secret_access_key=KEYS["AWS_SECRET_ACCESS_KEY"],
        )

    def make(self) -> str:
        """The address of a new bucket."""
        name = f"films-{secrets.token_hex(6)}"
        self.client.create_bucket(Bucket=name)
        return f"s3://{name}/some/prefix"

    def open(self, url: str) -> Bucket:
        """The bucket at that address."""
        return bucket_at(url, endpoint=self.endpoint)


@pytest.fixture(scope="session")
def s3() -> Iterator[S3]:
    """A server of its own on a free port of this machine; its keys are in the environment."""
    pytest.importorskip("moto", reason="moto[server] is not installed")
    pytest.importorskip("flask", reason="moto[server] is not installed")
    from moto.server import ThreadedMotoServer

    logging.getLogger("werkzeug").setLevel(logging.WARNING)
    server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    with pytest.MonkeyPatch.context() as environment:
        for name, value in KEYS.items():
            environment.setenv(name, value)
        server.start()
        try:
            host, port = server.get_host_and_port()
            yield S3(f"http://{host}:{port}")
        finally:
            server.stop()
