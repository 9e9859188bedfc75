#!/usr/bin/env python3
"""A large batch over separate processes, all of which are killed (SIGKILL) when half of it is done.

Prints progress, the memory of every process at 10, 50 and 90 % of the lines, and what the resumption cost. Fails unless the batch is
completed, every line has exactly one row, and the tables hold exactly one inference for each line.
"""

from __future__ import annotations

import argparse
import collections
import json
import pathlib
import shutil
import signal
import socket
import sqlite3
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request

MODEL = "night"
ROLES = ("guardrail", "router", "jobs", "worker", "projector", "api")
FINAL = ("completed", "failed", "expired", "cancelled")
MEMORY_AT = (0.1, 0.5, 0.9)
STARTING_SECONDS = 180


def free_port() -> int:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return listener.getsockname()[1]


def allocated_mb(pid: int) -> float:
    status = pathlib.Path(f"/proc/{pid}/status").read_text()
    kilobytes = next(line.split()[1] for line in status.splitlines() if line.startswith("RssAnon:"))
    return int(kilobytes) / 1_000


class Night:
    def __init__(self, arguments: argparse.Namespace, folder: pathlib.Path) -> None:
        self.arguments = arguments
        self.folder = folder
        self.broker = f"127.0.0.1:{free_port()}"
        self.url = f"http://127.0.0.1:{free_port()}"
        self.database = folder / "rows.sqlite"
        self.processes: dict[str, subprocess.Popen[bytes]] = {}

    def start(self) -> None:
        config = self.folder / "broker.conf"
        store = json.dumps(str(self.folder / "broker"))
        config.write_text(f'jetstream {{ store_dir: {store}, max_file_store: 256GB }}\nlisten: "{self.broker}"\n')
        self.spawn("broker", str(self.arguments.nats_server), "-c", str(config))
        jetmill = str(self.arguments.jetmill)
        worker = ["--model-name", MODEL, "--worker-id", "worker-1", "--model", str(self.arguments.model)]
        worker += ["--num-threads", str(self.arguments.threads), "--kv-cache-mib", "512"]
        more = {"worker": worker, "api": ["--listen", self.url.removeprefix("http://")]}
        for role in ROLES:
            common = ["--data", str(self.folder / role), "--nats", f"nats://{self.broker}"]
            common += ["--database", f"sqlite://{self.database}?mode=rwc"]
            self.spawn(role, jetmill, role, *common, *more.get(role, []))
        deadline = time.monotonic() + STARTING_SECONDS
        while not self.is_ready():
            if time.monotonic() > deadline:
                sys.exit(f"the processes were not ready; their logs are in {self.folder}")
            time.sleep(0.2)

    def spawn(self, name: str, *command: str) -> None:
        with open(self.folder / f"{name}.log", "ab") as log:
            self.processes[name] = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=log, stderr=log)

    def is_ready(self) -> bool:
        try:
            with urllib.request.urlopen(f"{self.url}/health/readiness", timeout=5) as answer:
                return answer.status == 200
        except (urllib.error.URLError, OSError):
            return False

    def end(self, number: signal.Signals) -> None:
        for process in self.processes.values():
            process.send_signal(number)
        for process in self.processes.values():
            process.wait()
        self.processes = {}

    def get(self, path: str) -> bytes:
        with urllib.request.urlopen(self.url + path, timeout=60) as answer:
            return answer.read()

    def batch(self, name: str) -> dict:
        return json.loads(self.get(f"/v1/batches/{name}"))

    def jetmill(self, *words: str) -> str:
        command = [str(self.arguments.jetmill), "batch", *words, "--url", self.url]
        return subprocess.run(command, check=True, capture_output=True, text=True).stdout.strip()

    def write_lines(self) -> pathlib.Path:
        path = self.folder / "lines.jsonl"
        with open(path, "w") as file:
            for number in range(self.arguments.lines):
                body = {"model": MODEL, "prompt": f"Say {number}.", "max_tokens": 1 + number % 4, "temperature": 0}
                line = {"custom_id": f"line-{number}", "method": "POST", "url": "/v1/completions", "body": body}
                file.write(json.dumps(line) + "\n")
        return path

    def run(self) -> list[str]:
        """Returns what does not hold."""
        self.start()
        name = self.jetmill("submit", str(self.write_lines()))
        bar = subprocess.Popen([str(self.arguments.jetmill), "batch", "watch", name, "--url", self.url]) if sys.stderr.isatty() else None
        began, told, was_killed, num_over_then = time.monotonic(), set(), False, 0
        while True:
            batch = self.batch(name)
            counts = batch["request_counts"]
            num_over = counts["completed"] + counts["failed"]
            share = num_over / max(counts["total"], 1)
            for at in MEMORY_AT:
                if share >= at and at not in told:
                    told.add(at)
                    used = {role: f"{allocated_mb(process.pid):.0f}" for role, process in self.processes.items()}
                    print(f"{time.monotonic() - began:.0f} s, {share:.0%} of {counts['total']} lines; MB allocated: {used}", flush=True)
            if share >= 0.5 and not was_killed:
                was_killed, num_over_then = True, num_over
                killed_at = time.monotonic()
                self.end(signal.SIGKILL)
                self.start()
                print(f"all were killed; ready again after {time.monotonic() - killed_at:.1f} s", flush=True)
                while self.num_over(name) <= num_over_then:
                    time.sleep(0.1)
                print(f"beyond where it stood after {time.monotonic() - killed_at:.1f} s", flush=True)
            if batch["status"] in FINAL:
                break
            time.sleep(0.5)
        if bar is not None:
            bar.wait()
        print(f"{batch['status']} after {time.monotonic() - began:.0f} s: {counts}", flush=True)
        return self.findings(batch)

    def num_over(self, name: str) -> int:
        counts = self.batch(name)["request_counts"]
        return counts["completed"] + counts["failed"]

    def findings(self, batch: dict) -> list[str]:
        found = []
        if batch["status"] != "completed" or batch["request_counts"]["completed"] != self.arguments.lines:
            found.append(f"the batch is {batch['status']} with {batch['request_counts']}")
        output = self.folder / "output.jsonl"
        self.jetmill("fetch", batch["id"], "--output", str(output), "--errors", str(self.folder / "errors.jsonl"))
        rows: collections.Counter[str] = collections.Counter()
        with open(output) as file:
            for line in file:
                rows[json.loads(line)["custom_id"]] += 1
        wanted = {f"line-{number}" for number in range(self.arguments.lines)}
        found += [f"{len(wanted - rows.keys())} lines have no row"] if wanted - rows.keys() else []
        found += [f"{custom_id} has {num} rows" for custom_id, num in rows.items() if num != 1]
        deadline = time.monotonic() + 120
        while (num_rows := self.num_inferences()) != self.arguments.lines and time.monotonic() < deadline:
            time.sleep(1)
        if num_rows != self.arguments.lines:
            found.append(f"the tables have {num_rows} inferences for {self.arguments.lines} lines")
        return found

    def num_inferences(self) -> int:
        with sqlite3.connect(f"file:{self.database}?mode=ro", uri=True) as rows:
            return rows.execute("SELECT count(*) FROM inferences WHERE ended_at_unix_nanos IS NOT NULL").fetchone()[0]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--jetmill", type=pathlib.Path, default=pathlib.Path("target/release/jetmill"))
    parser.add_argument("--nats-server", type=pathlib.Path, default=pathlib.Path(".jetmill/bin/nats-server"))
    parser.add_argument("--model", type=pathlib.Path, default=pathlib.Path(".jetmill/models/smollm2-135m-instruct-q4_1.gguf"))
    parser.add_argument("--lines", type=int, default=100_000)
    parser.add_argument("--threads", type=int, default=2)
    arguments = parser.parse_args()
    for name in ("jetmill", "nats_server", "model"):
        setattr(arguments, name, getattr(arguments, name).resolve(strict=True))
    folder = pathlib.Path(tempfile.mkdtemp(prefix="jetmill-night-"))
    night = Night(arguments, folder)
    try:
        found = night.run()
    except BaseException:
        print(f"the logs are in {folder}", file=sys.stderr)
        raise
    finally:
        night.end(signal.SIGKILL)
    if found:
        sys.exit("\n".join([*found, f"the logs are in {folder}"]))
    shutil.rmtree(folder)
    print("every line has one row and one inference")


if __name__ == "__main__":
    main()
