"""Serves a Hugging Face folder with vLLM on the CPU, with the settings in which it is fastest. Runs in vLLM's own environment."""

from __future__ import annotations

import argparse
import os
import signal
import subprocess
import sys
from pathlib import Path

# Multiplies as vLLM does: an instruction that the machine lacks shows here, and not after minutes of compiling.
PROBE = "import torch; a = torch.ones(512, 512, dtype=torch.bfloat16); a @ a"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--model", required=True)
    parser.add_argument("--model-name", required=True)
    parser.add_argument("--port", type=int, required=True)
    parser.add_argument("--threads", type=int, default=2)
    arguments = parser.parse_args()
    place = Path(sys.prefix)
    environment = {
        **os.environ,
        "VLLM_CPU_OMP_THREADS_BIND": f"0-{arguments.threads - 1}",
        "VLLM_CPU_KVCACHE_SPACE": "4",
        "VLLM_CACHE_ROOT": str(place / "cache"),
        "VLLM_NO_USAGE_STATS": "1",
        "HF_HUB_OFFLINE": "1",
        # As vLLM's manual advises.
        "LD_PRELOAD": str(place / "lib" / "libiomp5.so"),
    }
    probe = subprocess.run([sys.executable, "-c", PROBE], env=environment, stderr=subprocess.DEVNULL)
    if probe.returncode == -signal.SIGILL:
        # Some virtual machines have AMX and hide the size of its tiles, which oneDNN then takes for zero.
        print("oneDNN cannot use AMX on this machine", flush=True)
        environment["ONEDNN_MAX_CPU_ISA"] = "AVX512_CORE_FP16"
    command = [
        sys.executable, "-m", "vllm.entrypoints.openai.api_server", "--model", arguments.model, "--host", "127.0.0.1", "--port", str(arguments.port),
        "--served-model-name", arguments.model_name, "--dtype", "bfloat16", "--max-model-len", "2048", "--max-num-seqs", "64",
        "--disable-uvicorn-access-log",
    ]
    os.execve(command[0], command, environment)


if __name__ == "__main__":
    main()
