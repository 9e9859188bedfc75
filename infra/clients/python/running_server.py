"""One `jetmill serve` with its own port, data folder and broker, shared by the tests of one module."""

from __future__ import annotations

import contextlib
import os
import shutil
import socket
import sys
import tempfile
from pathlib import Path
from typing import Iterator

sys.path.insert(0, str(Path(__file__).resolve().parent.parent.parent / "setup"))

from server import Server  # noqa: E402

READY_SECONDS = 180


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


@contextlib.contextmanager
def running_server(*arguments: str) -> Iterator[Server]:
    folder = Path(tempfile.mkdtemp(prefix="jetmill-clients-"))
    address = f"127.0.0.1:{free_port()}"
    command = [os.environ["CLIENTS_BINARY"], "serve", "--model", os.environ["CLIENTS_MODEL"], "--listen", address]
    command += ["--data", str(folder / "data"), "--nats-server", os.environ["CLIENTS_NATS_SERVER"], *arguments]
    server = Server(command, address, folder / "serve.log")
    try:
        server.wait_until_ready(READY_SECONDS)
        yield server
    finally:
        status = server.stop()
        shutil.rmtree(folder, ignore_errors=True)
    if status != 0:
        raise AssertionError(f"the server was asked to stop and ended with {server.ending()}")
