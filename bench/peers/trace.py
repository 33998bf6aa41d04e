"""Runs the recorded 12-step training trace with the peer and prints how far each step is from the recording.

Arguments: the trace file (packages/detect/test/fixtures/train_trace.json), and fp32 or bf16. One JSON document:
per step, value / recorded - 1 of the losses, of their sum and of the gradient norm. It shows how much of a deviation in
bf16 is the CPU's rounding: the recording was made with the same package on another CPU.
"""

import json
import math
import re
import sys

import numpy as np
import torch
from ultralytics.cfg import get_cfg
from ultralytics.nn.tasks import DetectionModel

MASK = np.uint64(0xFFFFFFFF)


def hashes(key, count):
    """The recording's formula: FNV-1a of the key, mixed with the index."""
    start = 2166136261
    for byte in key.encode():
        start = ((start ^ byte) * 16777619) & 0xFFFFFFFF
    x = np.uint64(start) ^ ((np.arange(count, dtype=np.uint64) * np.uint64(0x9E3779B9)) & MASK)
    x ^= x >> np.uint64(16)
    x = (x * np.uint64(0x85EBCA6B)) & MASK
    x ^= x >> np.uint64(13)
    x = (x * np.uint64(0xC2B2AE35)) & MASK
    return x ^ (x >> np.uint64(16))


def weight(key, shape, gain):
    count = int(np.prod(shape)) if shape else 1
    u = (hashes(key, count) >> np.uint64(8)).astype(np.float64) / 2**23 - 1
    index = np.arange(count)
    if key.endswith("num_batches_tracked"):
        values = u * 0
    elif key.endswith("dfl.conv.weight"):
        values = index.astype(float)
    elif len(shape) == 4:
        values = u * (math.sqrt(3 / (shape[1] * shape[2] * shape[3])) * gain)
    elif key.endswith("running_mean"):
        values = 0.1 * u
    elif key.endswith("running_var"):
        values = 1 + 0.25 * u
    elif key.endswith(".weight"):
        values = 1 + 0.1 * u
    elif re.match(r"model\.\d+\.cv2\.\d+\.2\.bias$", key):
        values = 0.1 * u - 0.4 * (index % 16)
    elif re.match(r"model\.\d+\.cv3\.\d+\.2\.bias$", key):
        values = 0.5 * u - 3
    else:
        values = 0.1 * u
    return values.astype(np.float32).reshape(shape)


trace_file, mode = sys.argv[1:]
with open(trace_file) as file:
    trace = json.load(file)
run = trace["runs"]["bf16_autocast" if mode == "bf16" else "fp32"]

torch.set_num_threads(1)
model = DetectionModel("yolov8n.yaml", nc=trace["nc"], verbose=False)
model.args = get_cfg()
state = {
    key: torch.from_numpy(np.asarray(weight(key, tuple(value.shape), trace["gain"]))).to(value.dtype)
    for key, value in model.state_dict().items()
}
model.load_state_dict(state)
model.train()
groups = {"weight": [], "bn": [], "bias": []}
for name, parameter in model.named_parameters():
    if ".dfl" in name:
        parameter.requires_grad = False
    groups["bias" if name.endswith(".bias") else "bn" if ".bn." in name else "weight"].append(parameter)
optimizer = torch.optim.SGD(
    [
        {"params": groups["weight"], "weight_decay": 5e-4},
        {"params": groups["bn"], "weight_decay": 0},
        {"params": groups["bias"], "weight_decay": 0},
    ],
    lr=0.01,
    momentum=0.937,
    nesterov=True,
)

steps = []
for step in run["steps"]:
    for group, rate in zip(optimizer.param_groups, ("lr_weight", "lr_bn", "lr_bias")):
        group["lr"], group["momentum"] = step[rate], step["momentum"]
    number = step["step"]
    pixels = (hashes(f"trace/input/{number}", 4 * 3 * 64 * 64) >> np.uint64(8)).astype(np.float64) / 2**24
    targets = torch.tensor(trace["targets"][number - 1], dtype=torch.float32)
    batch = {
        "img": torch.from_numpy(pixels.astype(np.float32).reshape(4, 3, 64, 64)),
        "batch_idx": targets[:, 0],
        "cls": targets[:, 1:2],
        "bboxes": targets[:, 2:],
    }
    with torch.autocast("cpu", dtype=torch.bfloat16, enabled=mode == "bf16"):
        loss, items = model(batch)
    loss.sum().backward()
    norm = torch.nn.utils.clip_grad_norm_(model.parameters(), 10.0)
    recorded = step["micro"][0]
    values = [float(item.detach()) for item in (items.values() if isinstance(items, dict) else items)]
    deviation = {part: value / recorded[part] - 1 for part, value in zip(("box", "cls", "dfl"), values)}
    deviation["total"] = float(loss.detach().sum()) / recorded["total"] - 1
    deviation["norm"] = float(norm) / step["grad_norm_before_clip"] - 1
    steps.append({"step": number, **deviation})
    optimizer.step()
    optimizer.zero_grad()

parts = ("box", "cls", "dfl", "total", "norm")
worst = {part: max(abs(step[part]) for step in steps) for part in parts}
print(json.dumps({"mode": mode, "torch": torch.__version__, "worst": worst, "steps": steps}, indent=1))
