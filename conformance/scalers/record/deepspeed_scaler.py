"""
Records DeepSpeed's DynamicLossScaler, whose update is plain Python. Usage: deepspeed_scaler.py LOSS_SCALER.PY, the
file deepspeed/runtime/fp16/loss_scaler.py of deepspeed 0.19.8; what it imports is not needed for the update.
"""

import importlib.util
import logging
import sys
from types import ModuleType, SimpleNamespace

from sequences import RULE, record_all, write

SILENT = logging.getLogger('silent')
SILENT.addHandler(logging.NullHandler())
SILENT.propagate = False

for name, content in {
    'torch': {'half': 'half', 'float16': 'half'},
    'deepspeed': {'comm': SimpleNamespace(get_rank=lambda: 0)},
    'deepspeed.runtime': {},
    'deepspeed.runtime.config_utils': {'DeepSpeedConfigObject': object},
    'deepspeed.runtime.utils': {'has_inf_or_nan': None},
    'deepspeed.utils': {'log_dist': None, 'logger': SILENT},
}.items():
    module = ModuleType(name)
    vars(module).update(content)
    sys.modules[name] = module

spec = importlib.util.spec_from_file_location('loss_scaler', sys.argv[1])
loss_scaler = importlib.util.module_from_spec(spec)
sys.modules['loss_scaler'] = loss_scaler
spec.loader.exec_module(loss_scaler)

DEFAULTS = {'init_scale': 2.0**16, 'scale_window': 2, 'min_scale': 1.0, 'delayed_shift': 2,
            'consecutive_hysteresis': False, 'raise_error_at_min_scale': True}
CONFIGS = [DEFAULTS | change for change in (
    {'delayed_shift': 1},
    {},
    {'consecutive_hysteresis': True},
    {'init_scale': 8.0, 'raise_error_at_min_scale': False},
    {'init_scale': 4.0, 'min_scale': 0.25, 'delayed_shift': 1},
    {'init_scale': 2.0**32, 'scale_window': 3, 'delayed_shift': 3},
)]


def rule_of(config):
    return RULE | {
        'init': config['init_scale'],
        'growthInterval': config['scale_window'],
        'floor': config['min_scale'],
        'raiseAtFloor': config['raise_error_at_min_scale'],
        'hysteresis': config['delayed_shift'],
        'refill': 'clean' if config['consecutive_hysteresis'] else 'growth',
        'count': 'after',
        'countAfterGrowth': 1,
    }


def record(config, gradients):
    scaler = loss_scaler.DynamicLossScaler(**config)
    for mark in gradients:
        raised = False
        try:
            scaler.update_scale(mark != '.')
        except Exception as error:
            assert str(error).startswith('Current loss scale already at minimum'), error
            raised = True
        yield scaler.cur_scale, None, scaler.cur_hysteresis, mark != '.', raised
        if raised:
            return


write('deepspeed', 'recorded from deepspeed 0.19.8, DynamicLossScaler: record/deepspeed_scaler.py. Its scale is a '
      'float64; sequences stay within float32, where the two agree. An error ends the trace.',
      record_all(CONFIGS, rule_of, record))
