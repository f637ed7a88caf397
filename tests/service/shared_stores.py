"""Version stores of the tests' own: a folder, the memory of this process, and a bucket of moto."""

from __future__ import annotations

import secrets
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.util import find_spec
from pathlib import Path

import pytest

KINDS = ("file", "memory", "s3")
WHY_NO_S3 = "s3fs and moto are not installed: pip install 'corll[s3]' 'moto[server]'"


def has_s3() -> bool:
    """Say whether a server that speaks S3 can be run here, and spoken to."""
    return all(find_spec(package) is not None for package in ("s3fs", "moto", "flask"))


@contextmanager
def s3_server(monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """Run a server that speaks S3, which this process's environment names; yield its address."""
    if not has_s3():
        pytest.skip(WHY_NO_S3)
    from moto.server import ThreadedMotoServer

    server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    server.start()
    try:
        host, port = server.get_host_and_port()
        address = f"http://{host}:{port}"
        given = {"ACCESS_KEY_ID": "of-a-test", "SECRET_ACCESS_KEY": "of-a-test"}
        given |= {"DEFAULT_REGION": "us-east-1", "ENDPOINT_URL": address}
        for name, value in given.items():
            monkeypatch.setenv(f"AWS_{name}", value)
        yield address
    finally:
        server.stop()
        forget_clients()


def forget_clients() -> None:
    """Let no later test be given a client of a server that has stopped."""
    import s3fs

    s3fs.S3FileSystem.clear_instance_cache()


def new_bucket(address: str) -> str:
    """Make a bucket, and return the URL of a folder in it."""
    import boto3

    name = f"corll-{secrets.token_hex(6)}"
    boto3.client("s3", endpoint_url=address).create_bucket(Bucket=name)
    return f"s3://{name}/corll"


def new_place(kind: str, folder: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """Yield the URL of a version store of a kind, which is empty."""
    if kind == "s3":
        with s3_server(monkeypatch) as address:
            yield new_bucket(address)
    elif kind == "memory":
        yield f"memory://{secrets.token_hex(6)}"
    else:
        yield f"file://{folder}/shared"
