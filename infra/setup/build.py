"""Builds the jetmill binary with cargo and says where it is."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

from manifest import REPOSITORY, SetupError


def build(*cargo_arguments: str, package: str = "jetmill") -> Path:
    """Runs cargo, whose progress goes to the terminal, and returns the executable that it reports."""
    command = ["cargo", "build", "--locked", "--message-format=json-render-diagnostics", *cargo_arguments]
    result = subprocess.run(command, cwd=REPOSITORY, stdout=subprocess.PIPE, text=True)
    if result.returncode != 0:
        raise SetupError(f"`{' '.join(command)}` failed; its messages are above")
    for line in result.stdout.splitlines():
        message = json.loads(line) if line.startswith("{") else {}
        if message.get("executable") and message["target"]["name"] == package:
            return Path(message["executable"])
    raise SetupError(f"cargo built no executable called {package}")


def main() -> int:
    """Prints the path of the debug binary. The whole workspace is built, as the tests do, so that features are the same."""
    try:
        print(build("--workspace", "--bins"))
    except SetupError as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
