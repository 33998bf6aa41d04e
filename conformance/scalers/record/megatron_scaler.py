"""
Records Megatron's DynamicGradScaler. Usage: megatron_scaler.py GRAD_SCALER.PY, the file
megatron/core/optimizer/grad_scaler.py of megatron-core 0.16.1. It asks for CUDA tensors; numpy's float32 arrays
take their place, the arithmetic is the same.
"""

import importlib.util
import sys
from types import ModuleType

import numpy as np

from sequences import RULE, record_all, write

torch = ModuleType('torch')
torch.float = np.float32
torch.tensor = lambda values, dtype, device: np.array(values, dtype=dtype)
torch.max = np.maximum
sys.modules['torch'] = torch

spec = importlib.util.spec_from_file_location('grad_scaler', sys.argv[1])
grad_scaler = importlib.util.module_from_spec(spec)
spec.loader.exec_module(grad_scaler)

DEFAULTS = {'initial_scale': 2.0**16, 'min_scale': 1.0, 'growth_factor': 2.0, 'backoff_factor': 0.5,
            'growth_interval': 2, 'hysteresis': 2}
CONFIGS = [DEFAULTS | change for change in (
    {},
    {'hysteresis': 1},
    {'initial_scale': 8.0, 'hysteresis': 3, 'growth_interval': 3},
    {'initial_scale': 64.0, 'min_scale': 0.125, 'backoff_factor': 0.25, 'growth_factor': 4.0},
    {'initial_scale': 2.0**125, 'growth_interval': 1},
)]


def rule_of(config):
    return RULE | {
        'init': config['initial_scale'],
        'growthFactor': config['growth_factor'],
        'growthInterval': config['growth_interval'],
        'backoffFactor': config['backoff_factor'],
        'floor': config['min_scale'],
        'hysteresis': config['hysteresis'],
        'beyondFinite': 'allow',
    }


def record(config, gradients):
    scaler = grad_scaler.DynamicGradScaler(**config)
    for mark in gradients:
        scaler.update(mark != '.')
        state = scaler.state_dict()
        # Megatron counts on below 1, with the same effect.
        patience = max(state['hysteresis_tracker'], 1)
        yield state['scale'][0], state['growth_tracker'], patience, mark != '.'


with np.errstate(over='ignore'):
    write('megatron', 'recorded from megatron-core 0.16.1, DynamicGradScaler, numpy float32 for its CUDA tensors: '
          'record/megatron_scaler.py', record_all(CONFIGS, rule_of, record))
