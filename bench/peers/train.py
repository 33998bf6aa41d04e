"""Trains with the reference package on the same data and settings, and prints every epoch's mAP as JSON.

    train.py MODEL DATA [IMGSZ] [EPOCHS] [BATCH] [SEED]

fp32, from scratch, everything else by default: what `mezzo train` with the same words is compared with. Public interfaces only.
"""

import csv
import json
import os
import sys
import tempfile
from pathlib import Path

import torch

# The peer logs to standard output: that goes to standard error, so that the result stands alone.
RESULT = os.fdopen(os.dup(1), "w")
os.dup2(2, 1)

torch.set_num_threads(int(os.environ.get("OMP_NUM_THREADS", "1")))

from ultralytics import YOLO  # noqa: E402  (threads are set before the package reads them)


def train(model, data, imgsz="320", epochs="40", batch="16", seed="0"):
    # The peer takes a relative `path:` of the yaml from the current folder, Mezzo from the yaml's.
    data = Path(data).resolve()
    os.chdir(data.parent)
    with tempfile.TemporaryDirectory() as folder:
        YOLO(f"{model}.yaml").train(
            data=str(data), imgsz=int(imgsz), epochs=int(epochs), batch=int(batch), seed=int(seed), device="cpu", amp=False,
            workers=0, plots=False, verbose=False, project=folder, name="run",
        )
        with open(Path(folder) / "run" / "results.csv") as table:
            rows = [{key.strip(): float(value) for key, value in row.items()} for row in csv.DictReader(table)]
    curves = {"map50": "metrics/mAP50(B)", "map": "metrics/mAP50-95(B)"}
    epochs_of = {name: [row[column] for row in rows] for name, column in curves.items()}
    best = {name: max(values) for name, values in epochs_of.items()}
    print(json.dumps({"model": model, "imgsz": int(imgsz), "batch": int(batch), "seed": int(seed), "best": best, **epochs_of}), file=RESULT)


if __name__ == "__main__":
    train(*sys.argv[1:])
