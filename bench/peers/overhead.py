"""Seconds per `torch.add` of 4 elements, one thread. Each line "N" on standard input times N calls."""

import json
import sys
import time

import torch

torch.set_num_threads(1)
a, b = torch.arange(4.0), torch.arange(4.0)
print(json.dumps({"peer": "torch", "torch": torch.__version__}), flush=True)
for line in sys.stdin:
    count = int(line)
    started = time.perf_counter()
    for _ in range(count):
        torch.add(a, b)
    print(json.dumps({"samples": [(time.perf_counter() - started) / count]}), flush=True)
