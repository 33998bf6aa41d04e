"""Seconds per training step of the peer: model, loss, backward, clipping and SGD on one random batch.

Arguments: --model --batch --imgsz --threads --mode {fp32,fp32-cl,bf16,bf16-cl,bf16-cl-compile} --device.
Each line "N" on standard input runs N steps and prints {"samples": [...]}; end of input ends the process. With --rss the
numbers are bytes instead, one: the peak of resident memory during the N steps, over what was resident before them.
"""

import argparse
import json
import sys
import time

import torch
from ultralytics.cfg import get_cfg
from ultralytics.nn.tasks import DetectionModel

parser = argparse.ArgumentParser()
parser.add_argument("--model", default="yolov8n.yaml")
parser.add_argument("--batch", type=int, default=8)
parser.add_argument("--imgsz", type=int, default=320)
parser.add_argument("--threads", type=int, default=2)
parser.add_argument("--mode", default="fp32")
parser.add_argument("--device", default="cpu")
parser.add_argument("--rss", action="store_true")
options = parser.parse_args()

torch.set_num_threads(options.threads)
torch.manual_seed(0)
precision, *tuning = options.mode.split("-")
channels_last = "cl" in tuning
dtype = {"fp32": None, "bf16": torch.bfloat16, "fp16": torch.float16}[precision]

model = DetectionModel(options.model, nc=80, verbose=False)
model.args = get_cfg()
model.to(options.device).train()
images = torch.rand(options.batch, 3, options.imgsz, options.imgsz, device=options.device)
if channels_last:
    model = model.to(memory_format=torch.channels_last)
    images = images.contiguous(memory_format=torch.channels_last)
optimizer = torch.optim.SGD(model.parameters(), lr=1e-3, momentum=0.9, nesterov=True, weight_decay=5e-4)
boxes = options.batch * 8
batch = {
    "img": images,
    "batch_idx": torch.arange(options.batch, device=options.device).repeat_interleave(8).float(),
    "cls": torch.randint(0, 80, (boxes, 1), device=options.device).float(),
    "bboxes": torch.rand(boxes, 4, device=options.device) * 0.3 + 0.3,
}
if "compile" in tuning:
    model.criterion = model.init_criterion()
    network = torch.compile(lambda images: model.predict(images))


def loss_of_batch():
    if "compile" in tuning:
        return model.loss(batch, network(batch["img"]))
    return model(batch)


def step():
    started = time.perf_counter()
    with torch.autocast(options.device, dtype=dtype or torch.bfloat16, enabled=dtype is not None):
        loss, _ = loss_of_batch()
    loss.sum().backward()
    torch.nn.utils.clip_grad_norm_(model.parameters(), 10.0)
    optimizer.step()
    optimizer.zero_grad()
    if options.device != "cpu":
        torch.cuda.synchronize()
    return time.perf_counter() - started


def resident(field):
    """VmRSS (now) or VmHWM (peak) of this process in bytes."""
    with open("/proc/self/status") as status:
        return next(1024 * int(line.split()[1]) for line in status if line.startswith(field))


def peak_over_baseline(count):
    with open("/proc/self/clear_refs", "w") as peak:
        peak.write("5")  # the peak starts anew
    before = resident("VmRSS")
    for _ in range(count):
        step()
    return [resident("VmHWM") - before]


print(json.dumps({"peer": "ultralytics", "torch": torch.__version__, "mode": options.mode}), flush=True)
for line in sys.stdin:
    samples = peak_over_baseline(int(line)) if options.rss else [step() for _ in range(int(line))]
    print(json.dumps({"samples": samples}), flush=True)
