"""Serves a GGUF file with llama.cpp's own server, from the package xllamacpp that infra/tools.toml pins.

The package is installed into .jetmill/peers/ at the first use. Ends with SIGTERM.
"""

from __future__ import annotations

import argparse
import signal
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent))

from install import xllamacpp_folder  # noqa: E402


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--install-only", action="store_true")
    parser.add_argument("--model")
    parser.add_argument("--port", type=int)
    parser.add_argument("--slots", type=int, default=1)
    parser.add_argument("--context-tokens", type=int, default=2048, help="for each slot")
    parser.add_argument("--threads", type=int, default=2)
    arguments = parser.parse_args()
    sys.path.insert(0, str(xllamacpp_folder()))
    if arguments.install_only:
        return

    import xllamacpp

    options = xllamacpp.CommonParams()
    options.model.path = arguments.model
    options.hostnames = ["127.0.0.1"]
    options.port = arguments.port
    options.n_parallel = arguments.slots
    options.n_ctx = arguments.slots * arguments.context_tokens
    options.cpuparams.n_threads = arguments.threads
    options.cpuparams_batch.n_threads = arguments.threads

    # SIGTERM keeps its default, which ends the process at once: its destructor can wait forever after a short life.
    server = xllamacpp.Server(options)
    print(f"serving at {server.listening_address}", flush=True)
    signal.pause()


if __name__ == "__main__":
    main()
