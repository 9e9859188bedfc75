"""A `jetmill serve` child process: start, wait until it answers, stop without leaving anything behind."""

from __future__ import annotations

import ctypes
import json
import os
import signal
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections import deque
from pathlib import Path

from manifest import SetupError

STOP_SECONDS = 15
POLL_SECONDS = 0.05
LOG_LINES_SHOWN = 15


def require_free(address: str) -> None:
    """Raises when something listens there already."""
    host, _, port = address.rpartition(":")
    host = host.strip("[]")
    if not port.isdigit():
        raise SetupError(f"--listen takes HOST:PORT, for example 127.0.0.1:8080, not {address!r}")
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    with socket.socket(family, socket.SOCK_STREAM) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((host, int(port)))
        except OSError as error:
            raise SetupError(
                f"cannot listen on {address}: {error.strerror or error}; "
                f"choose another address with --listen {host or '127.0.0.1'}:PORT"
            ) from error


def reachable(address: str) -> str:
    """The address a client on this machine uses for a server that listens on `address`."""
    host, _, port = address.rpartition(":")
    return f"{'127.0.0.1' if host in ('', '0.0.0.0', '[::]') else host}:{port}"


def die_with_parent() -> None:
    """Linux: the child gets SIGTERM when this process is killed without a chance to stop it."""
    if sys.platform == "linux":
        pr_set_pdeathsig = 1
        ctypes.CDLL(None).prctl(pr_set_pdeathsig, signal.SIGTERM)


class Server:
    """The process and its log file."""

    def __init__(self, command: list[str], address: str, log: Path) -> None:
        self.url = f"http://{reachable(address)}"
        self.log = log
        log.parent.mkdir(parents=True, exist_ok=True)
        with log.open("wb") as output:
            # Its own session keeps the terminal's Ctrl-C from it: the one who started it stops it, in order.
            self.process = subprocess.Popen(
                command,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                start_new_session=True,
                preexec_fn=die_with_parent,
            )

    def wait_until_ready(self, timeout_seconds: float) -> None:
        """Returns once /health/readiness is 200; raises with the log's end when the process ends or the time is up."""
        deadline = time.monotonic() + timeout_seconds
        while time.monotonic() < deadline:
            if self.process.poll() is not None:
                raise SetupError(f"jetmill ended with {self.ending()} before it was ready.\n{self.log_end()}")
            try:
                with urllib.request.urlopen(f"{self.url}/health/readiness", timeout=2) as response:
                    if response.status == 200:
                        return
            except (urllib.error.URLError, OSError):
                pass
            time.sleep(POLL_SECONDS)
        raise SetupError(f"jetmill was not ready after {timeout_seconds:.0f} s.\n{self.log_end()}")

    def models(self, api_key: str | None = None) -> list[str]:
        headers = {"Authorization": f"Bearer {api_key}"} if api_key else {}
        request = urllib.request.Request(f"{self.url}/v1/models", headers=headers)
        with urllib.request.urlopen(request, timeout=10) as response:
            return [model["id"] for model in json.load(response)["data"]]

    def log_end(self) -> str:
        with self.log.open(errors="replace") as lines:
            return "".join(deque(lines, LOG_LINES_SHOWN)) + f"(whole log: {self.log})"

    def ending(self) -> str:
        status = self.process.returncode
        return signal.Signals(-status).name if status < 0 else f"status {status}"

    def stop(self) -> int:
        """Asks it to finish, then insists; the whole session goes, so no broker is left behind."""
        if self.process.poll() is None:
            self.process.terminate()
            try:
                self.process.wait(STOP_SECONDS)
            except subprocess.TimeoutExpired:
                pass
        try:
            os.killpg(self.process.pid, signal.SIGKILL)
        except ProcessLookupError:
            pass
        return self.process.wait()
