"""Starts a training of the peer and says {"samples": []} on standard output when its first step is done; then it ends.

Arguments: --model --data --imgsz --batch, and --kept, a folder for what the package caches from start to start. The
caller takes the time from the start of the process.
"""

import argparse
import json
import sys
import tempfile

from ultralytics import YOLO

from linked_data import linked_copy

parser = argparse.ArgumentParser()
parser.add_argument("--model", default="yolov8n.yaml")
parser.add_argument("--data", required=True)
parser.add_argument("--imgsz", type=int, default=320)
parser.add_argument("--batch", type=int, default=16)
parser.add_argument("--kept", required=True)
options = parser.parse_args()

# The package reports on standard output, where the answer goes.
answers = sys.stdout
sys.stdout = sys.stderr
data = linked_copy(options.data, options.kept)
folder = tempfile.TemporaryDirectory()


def first_step(trainer):
    print(json.dumps({"samples": []}), file=answers, flush=True)
    sys.exit(0)


detector = YOLO(options.model)
detector.add_callback("on_train_batch_end", first_step)
detector.train(
    data=data, imgsz=options.imgsz, batch=options.batch, device="cpu", epochs=1, plots=False, verbose=False,
    project=folder.name, name="run",
)
