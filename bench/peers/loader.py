"""Seconds per image of the peer's training loader (mosaic, affine, colour, flip), without a model.

Arguments: --data --imgsz --batch --workers. Each line "N" on standard input runs N epochs in a row and prints
{"seconds": [...]}, one number an epoch; end of input ends the process. One more epoch goes first, untimed, and the
workers end with the last one: between two commands nothing is prepared, and an epoch gets no head start.
"""

import argparse
import gc
import json
import multiprocessing
import os
import shutil
import sys
import tempfile
import time

from ultralytics.cfg import get_cfg
from ultralytics.data import build_dataloader, build_yolo_dataset
from ultralytics.data.utils import check_det_dataset

parser = argparse.ArgumentParser()
parser.add_argument("--data", required=True)
parser.add_argument("--imgsz", type=int, default=640)
parser.add_argument("--batch", type=int, default=16)
parser.add_argument("--workers", type=int, default=2)
options = parser.parse_args()

# The package writes caches beside the labels: it works on links to the files in a folder of its own. And `path: .`
# in a data.yaml means its own folder to Mezzo, the working folder to the peer.
source = os.path.abspath(options.data)
scratch = tempfile.TemporaryDirectory()
folder = os.path.join(scratch.name, "data")
shutil.copytree(os.path.dirname(source), folder, copy_function=os.symlink)
os.chdir(folder)
# The package reports on standard output, where the answers go.
answers = sys.stdout
sys.stdout = sys.stderr
config = get_cfg(overrides={"imgsz": options.imgsz, "task": "detect", "cache": False})
description = check_det_dataset(os.path.join(folder, os.path.basename(source)))
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
    print(json.dumps({"seconds": epochs(int(line))}), file=answers, flush=True)
