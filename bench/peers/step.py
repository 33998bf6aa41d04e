"""Seconds per training step of the peer: model, loss, backward, clipping and SGD on one random batch.

Arguments: --model --batch --imgsz --threads --mode {fp32,fp32-cl,bf16,bf16-cl} --device.
Each line "N" on standard input runs N steps and prints {"seconds": [...]}; end of input ends the process.
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
options = parser.parse_args()

torch.set_num_threads(options.threads)
torch.manual_seed(0)
channels_last = options.mode.endswith("-cl")
dtype = {"fp32": None, "bf16": torch.bfloat16, "fp16": torch.float16}[options.mode.removesuffix("-cl")]

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


def step():
    started = time.perf_counter()
    with torch.autocast(options.device, dtype=dtype or torch.bfloat16, enabled=dtype is not None):
        loss, _ = model(batch)
    loss.sum().backward()
    torch.nn.utils.clip_grad_norm_(model.parameters(), 10.0)
    optimizer.step()
    optimizer.zero_grad()
    if options.device != "cpu":
        torch.cuda.synchronize()
    return time.perf_counter() - started


print(json.dumps({"peer": "ultralytics", "torch": torch.__version__, "mode": options.mode}), flush=True)
for line in sys.stdin:
    print(json.dumps({"seconds": [step() for _ in range(int(line))]}), flush=True)
