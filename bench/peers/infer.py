"""Seconds of one prediction of the peer on a CPU: batch 1, folded network, its own defaults (fp32).

Arguments: --model --imgsz --batch --threads, and --image FILE for all from the file to the boxes; without it the network
alone, on the tensor that Mezzo measures with. Each line "N" on standard input predicts N times and prints
{"samples": [...]}; end of input ends the process.
"""

import argparse
import json
import sys
import time

import torch
from ultralytics import YOLO

parser = argparse.ArgumentParser()
parser.add_argument("--model", default="yolov8n.yaml")
parser.add_argument("--imgsz", type=int, default=640)
parser.add_argument("--batch", type=int, default=1)
parser.add_argument("--threads", type=int, default=2)
parser.add_argument("--image")
options = parser.parse_args()

# The package reports on standard output, where the answers go.
answers = sys.stdout
sys.stdout = sys.stderr
torch.manual_seed(0)
detector = YOLO(options.model)
if options.image is None:
    network = detector.model.fuse(verbose=False).eval()
    count = options.batch * 3 * options.imgsz**2
    pixels = (torch.arange(count) % 251 / 255).reshape(options.batch, 3, options.imgsz, options.imgsz)


@torch.inference_mode()
def predict():
    started = time.perf_counter()
    if options.image is None:
        network(pixels)
    else:
        detector.predict(options.image, imgsz=options.imgsz, device="cpu", save=False, verbose=False)
    return time.perf_counter() - started


predict()
# The package chooses a number of threads when it first predicts.
torch.set_num_threads(options.threads)
print(json.dumps({"peer": "ultralytics", "torch": torch.__version__}), file=answers, flush=True)
for line in sys.stdin:
    print(json.dumps({"samples": [predict() for _ in range(int(line))]}), file=answers, flush=True)
