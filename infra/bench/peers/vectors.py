"""Vectors a second of a BERT encoder by PyTorch, beside `features vectors`: the same token ids, lengths and batches.

Runs in the environment of vLLM, which brings torch and transformers: PYTHON vectors.py MODEL [NUM_THREADS]
Where oneDNN dies of an illegal instruction (see vllm_server.py): ONEDNN_MAX_CPU_ISA=AVX512_CORE_FP16.
"""

from __future__ import annotations

import statistics
import sys
import time

import torch
import transformers

INPUT_TOKENS = 64
LEAST_SECONDS = 2


def main(path: str, num_threads: int) -> None:
    torch.set_num_threads(num_threads)
    for dtype in (torch.float32, torch.bfloat16):
        model = transformers.AutoModel.from_pretrained(path, dtype=dtype).eval()
        for size in (1, 32):
            ids = torch.tensor(
                [[1000 + (position * 37 + number * 101) % 20000 for position in range(INPUT_TOKENS)] for number in range(size)]
            )
            times = []
            with torch.inference_mode():
                began = time.perf_counter()
                while not times or time.perf_counter() - began < LEAST_SECONDS:
                    started = time.perf_counter()
                    # Inputs of one length need no padding and no mask: the mean is over all tokens.
                    hidden = model(input_ids=ids, attention_mask=torch.ones_like(ids)).last_hidden_state
                    torch.nn.functional.normalize(hidden.float().mean(dim=1), dim=1)
                    times.append(time.perf_counter() - started)
            took = statistics.median(times[1:] or times)
            print(f"{dtype}, batches of {size}: {size / took:.0f} vectors/s, {took * 1e3:.2f} ms each", flush=True)


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]) if len(sys.argv) > 2 else 2)
