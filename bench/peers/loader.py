"""Seconds per image of the peer's training loader (mosaic, affine, colour, flip), without a model.

Arguments: --data --imgsz --batch --workers, and --ram, which keeps the decoded images in memory. Each line "N" on
standard input runs N epochs in a row and prints {"samples": [...]}, one number an epoch; end of input ends the process.
One more epoch goes first, untimed, and the workers end with the last one: between two commands nothing is prepared, and
an epoch gets no head start.
"""

import argparse
import gc
import json
import multiprocessing
import sys
import time

from ultralytics.cfg import get_cfg
from ultralytics.data import build_dataloader, build_yolo_dataset
from ultralytics.data.utils import check_det_dataset

from linked_data import linked_copy

parser = argparse.ArgumentParser()
parser.add_argument("--data", required=True)
parser.add_argument("--imgsz", type=int, default=640)
parser.add_argument("--batch", type=int, default=16)
parser.add_argument("--workers", type=int, default=2)
parser.add_argument("--ram", action="store_true")
options = parser.parse_args()

description_file = linked_copy(options.data)
# The package reports on standard output, where the answers go.
answers = sys.stdout
sys.stdout = sys.stderr
config = get_cfg(overrides={"imgsz": options.imgsz, "task": "detect", "cache": "ram" if options.ram else False})
description = check_det_dataset(description_file)
images = build_yolo_dataset(config, description["train"], options.batch, description, mode="train", rect=False, stride=32)


def epochs(count):
    loader = build_dataloader(images, options.batch, options.workers, shuffle=True, rank=-1)
    seconds = []
    for _ in range(count + 1):
        started = time.perf_counter()
        total = sum(batch["img"].shape[0] for batch in loader)
        seconds.append((time.perf_counter() - started) / total)
    del loader
    gc.collect()
    assert not multiprocessing.active_children(), "the loader's workers are still there"
    return seconds[1:]


print(json.dumps({"peer": "ultralytics-loader", "workers": options.workers}), file=answers, flush=True)
for line in sys.stdin:
    print(json.dumps({"samples": epochs(int(line))}), file=answers, flush=True)
