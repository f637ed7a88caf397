"""Version stores of benchmarks: a folder, or a bucket of a server that speaks S3."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.util import find_spec
from pathlib import Path

_BUCKET = "corll-benchmark"
_SERVER = """
import sys
import logging
from moto.server import ThreadedMotoServer
logging.getLogger("werkzeug").setLevel("ERROR")
server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
server.start()
print(server.get_host_and_port()[1], flush=True)
sys.stdin.read()
"""
"""It ends with whoever started it: then its input is closed."""


@contextmanager
def new_place(kind: str, folder: Path) -> Iterator[str]:
    """Yield the URL of an empty version store: in a folder (`file`), or a new bucket (`s3`)."""
    if kind == "file":
        yield f"file://{folder}/store"
        return
    with _s3_server():
        yield f"s3://{_BUCKET}/corll"


@contextmanager
def _s3_server() -> Iterator[None]:
    """Run a server with a bucket in a process of its own; the environment leads clients to it."""
    if any(find_spec(package) is None for package in ("s3fs", "moto", "flask")):
        raise SystemExit("s3fs and moto are not installed: pip install 'corll[s3]' 'moto[server]'")
    command = [sys.executable, "-c", _SERVER]
    pipe = subprocess.PIPE
    with subprocess.Popen(command, stdin=pipe, stdout=pipe, text=True) as process:
        assert process.stdout is not None
        address = f"http://127.0.0.1:{int(process.stdout.readline())}"
        given = {"ACCESS_KEY_ID": "of-a-benchmark", "SECRET_ACCESS_KEY": "of-a-benchmark"}
        given |= {"DEFAULT_REGION": "us-east-1", "ENDPOINT_URL": address}
        os.environ.update({f"AWS_{name}": value for name, value in given.items()})
        import fsspec

        fsspec.filesystem("s3").mkdir(_BUCKET)
        yield
