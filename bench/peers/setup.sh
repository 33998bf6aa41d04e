#!/usr/bin/env bash
# Installs the peers into a virtual environment outside the project, for side-by-side measurements.
set -euo pipefail
venv="${PEER_VENV:?set PEER_VENV to a folder outside the project}"
[ -x "$venv/bin/python" ] || python3 -m venv "$venv"
"$venv/bin/pip" install -q torch==2.15.0 torchvision ultralytics==8.4.190 opencv-python-headless pycocotools safetensors
"$venv/bin/python" -c 'import torch, ultralytics; print("torch", torch.__version__, "ultralytics", ultralytics.__version__)'
