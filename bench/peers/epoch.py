"""Seconds per epoch of the peer's training: loader, steps, validation; its own defaults unless --settings changes them.

Arguments: --model --data --imgsz --batch --threads --device --settings JSON. Each line "N" on standard input runs N
epochs of one training and prints {"samples": [...]}, one number an epoch; between two commands the training waits, and
end of input ends the process. One epoch goes first, untimed.
"""

import argparse
import json
import sys
import tempfile
import time

import torch
from ultralytics import YOLO

from linked_data import linked_copy

# Never reached: mosaic would end ten epochs before.
EPOCHS = 10000

parser = argparse.ArgumentParser()
parser.add_argument("--model", default="yolov8n.yaml")
parser.add_argument("--data", required=True)
parser.add_argument("--imgsz", type=int, default=320)
parser.add_argument("--batch", type=int, default=16)
parser.add_argument("--threads", type=int, default=2)
parser.add_argument("--device", default="cpu")
parser.add_argument("--settings", default="{}")
options = parser.parse_args()

# The package reports on standard output, where the answers go.
answers = sys.stdout
sys.stdout = sys.stderr
data = linked_copy(options.data)
folder = tempfile.TemporaryDirectory()
samples, wanted, started = [], 0, 0.0


def answer(document):
    print(json.dumps(document), file=answers, flush=True)


def wait_for_command():
    """Blocks until epochs are asked for; the process ends with its input."""
    global samples, wanted
    line = sys.stdin.readline()
    if not line:
        sys.exit(0)
    samples, wanted = [], int(line)


def use_threads(trainer):
    # The package chooses a number of its own when the training starts.
    torch.set_num_threads(options.threads)


def end_of_epoch(trainer):
    global started
    if options.device != "cpu":
        torch.cuda.synchronize()
    if started == 0:
        answer({"peer": "ultralytics", "torch": torch.__version__})
        wait_for_command()
    else:
        samples.append(time.perf_counter() - started)
        if len(samples) == wanted:
            answer({"samples": samples})
            wait_for_command()
    started = time.perf_counter()


detector = YOLO(options.model)
detector.add_callback("on_train_start", use_threads)
detector.add_callback("on_fit_epoch_end", end_of_epoch)
detector.train(
    data=data, imgsz=options.imgsz, batch=options.batch, device=options.device, epochs=EPOCHS, patience=EPOCHS,
    save=False, plots=False, verbose=False, project=folder.name, name="run", **json.loads(options.settings),
)
