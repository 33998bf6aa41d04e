#!/usr/bin/env bash
# Two processes on this machine, or, with NODES and MASTER_ADDR set, two on each of several:
#   examples/distributed/torchrun.sh data=data.yaml epochs=100
#   NODES=2 NODE=0 MASTER_ADDR=host0 examples/distributed/torchrun.sh …     on host0
#   NODES=2 NODE=1 MASTER_ADDR=host0 examples/distributed/torchrun.sh …     on the other
# A job that fails is started again up to three times and goes on from its last checkpoint.
set -euo pipefail

mezzo="$(cd "$(dirname "${BASH_SOURCE[0]}")/../.." && pwd)/mezzo"

exec torchrun \
  --nnodes "${NODES:-1}" \
  --node-rank "${NODE:-0}" \
  --nproc-per-node "${PROCESSES:-2}" \
  --master-addr "${MASTER_ADDR:-127.0.0.1}" \
  --master-port "${MASTER_PORT:-29500}" \
  --max-restarts 3 \
  --no-python \
  "$mezzo" train device=cpu resume=auto "$@"
