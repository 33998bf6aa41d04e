"""Makes a checkpoint with the reference package, and tells what that package finds with it.

    weights.py train MODEL DATA OUT [EPOCHS] [IMGSZ]   trains, writes OUT (a .pt file as its trainer leaves it)
    weights.py judge WEIGHTS DATA IMGSZ                one JSON document: map50, map, and the boxes of every val image

Public interfaces only. `weights.mjs` beside this file compares with what Mezzo finds from the same .pt file.
"""

import json
import os
import shutil
import sys
import tempfile
from pathlib import Path

import torch

torch.set_num_threads(int(os.environ.get("OMP_NUM_THREADS", "1")))

from ultralytics import YOLO  # noqa: E402  (threads are set before the package reads them)


def train(model, data, out, epochs="30", imgsz="160"):
    with tempfile.TemporaryDirectory() as folder:
        YOLO(f"{model}.yaml").train(
            data=data, epochs=int(epochs), imgsz=int(imgsz), batch=16, workers=0, device="cpu", amp=False,
            cache="ram", seed=0, plots=False, val=False, verbose=False, project=folder, name="run",
        )
        shutil.copyfile(Path(folder) / "run" / "weights" / "best.pt", out)


def judge(weights, data, imgsz):
    model = YOLO(weights)
    common = {"imgsz": int(imgsz), "device": "cpu", "half": False, "verbose": False}
    with tempfile.TemporaryDirectory() as folder:
        metrics = model.val(data=data, workers=0, plots=False, project=folder, name="val", **common)
    images = sorted((Path(data).parent / "images" / "val").iterdir())
    boxes = {}
    for image in images:
        (result,) = model.predict(str(image), **common)
        boxes[image.name] = [
            {"cls": int(cls), "conf": conf, "xyxy": xyxy}
            for cls, conf, xyxy in zip(
                result.boxes.cls.tolist(), result.boxes.conf.tolist(), result.boxes.xyxy.tolist()
            )
        ]
    print(json.dumps({"map50": metrics.box.map50, "map": metrics.box.map, "boxes": boxes}))


if __name__ == "__main__":
    {"train": train, "judge": judge}[sys.argv[1]](*sys.argv[2:])
