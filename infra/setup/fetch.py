"""Fetches what Jetmill needs and does not build: `python3 infra/setup/fetch.py [--model NAME]… [--vocabularies]`.

Everything lands in .jetmill/ of the repository, verified; what is there already is left alone.
"""

from __future__ import annotations

import argparse
import contextlib
import fcntl
import importlib.util
import shutil
import sys
from pathlib import Path
from typing import Iterator

from download import fetch_model, fetch_program, fetch_vocabularies, say
from manifest import CACHE, SetupError, model, models, nats_server, vocabularies

NATS_SERVER = CACHE / "bin" / "nats-server"


@contextlib.contextmanager
def only_one_at_a_time() -> Iterator[None]:
    """Two runs in one checkout would write the same part files."""
    CACHE.mkdir(parents=True, exist_ok=True)
    with (CACHE / "fetch.lock").open("w") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            say("waiting for another download in this checkout to finish")
            fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def require_tools(*needed: str) -> None:
    """Raises with one line for each tool that is missing and how to get it."""
    advice = {
        "cargo": "Rust: https://rustup.rs",
        "cc": "a C compiler: apt-get install build-essential",
        "pip": "pip: apt-get install python3-pip",
        "node": "Node.js 20 and npm: apt-get install nodejs npm",
        "npm": "Node.js 20 and npm: apt-get install nodejs npm",
    }
    missing = [
        name
        for name in needed
        if not (importlib.util.find_spec("pip") if name == "pip" else shutil.which(name))
    ]
    if missing:
        raise SetupError("missing on this machine:\n" + "\n".join(f"  {name:6} {advice[name]}" for name in missing))


def fetch_server() -> Path:
    with only_one_at_a_time():
        return fetch_program(nats_server(), NATS_SERVER)


def fetch_named_model(name: str | None) -> Path:
    with only_one_at_a_time():
        return fetch_model(model(name))


def main() -> int:
    parser = argparse.ArgumentParser(description="Fetch nats-server, models and test vocabularies into .jetmill/.")
    parser.add_argument("--model", action="append", default=[], metavar="NAME", help="a model of infra/models.toml")
    parser.add_argument("--vocabularies", action="store_true", help="also what the tokenizer tests read")
    parser.add_argument("--list", action="store_true", help="list the models and stop")
    arguments = parser.parse_args()
    try:
        if arguments.list:
            for known in models():
                print(f"{known.name:20} {known.about}")
            return 0
        require_tools("pip")
        wanted = [model(name) for name in arguments.model]
        fetch_server()
        with only_one_at_a_time():
            for known in wanted:
                fetch_model(known)
            if arguments.vocabularies:
                fetch_vocabularies(vocabularies())
    except SetupError as error:
        say(f"error: {error}")
        return 1
    except KeyboardInterrupt:
        say("interrupted; what was fetched is kept")
        return 130
    return 0


if __name__ == "__main__":
    sys.exit(main())
