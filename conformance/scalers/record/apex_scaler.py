"""
States what Apex's loss scaler does; Apex left the package and is not run here. From its documented behaviour:
first scale 2^16, doubled after 2000 steps without overflow up to 2^24, halved on each overflow down to an optional
minimum. Its hysteresis kernel: n-1 overflows change nothing but the count of clean steps, each later one backs
off, a clean step refills; a growth that would not be finite is left out.
"""

import math

import numpy as np

from sequences import RULE, record_all, write

SCALER = [{'scale_window': 2}, {'scale_window': 3, 'min_loss_scale': 128.0}, {'scale_window': 1},
          {'init_scale': 4.0, 'scale_window': 4}]
KERNEL = [{'growth_interval': 2, 'hysteresis': 1}, {'growth_interval': 2, 'hysteresis': 2},
          {'growth_interval': 4, 'hysteresis': 3, 'growth_factor': 4.0, 'backoff_factor': 0.25},
          {'growth_interval': 1, 'hysteresis': 2, 'init_scale': 2.0**126},
          {'growth_interval': 3, 'hysteresis': 2, 'init_scale': 2.0**-146}]


def scaler_rule(config):
    return RULE | {'init': config.get('init_scale', 65536.0), 'growthInterval': config['scale_window'],
                   'floor': config.get('min_loss_scale'), 'ceiling': 2**24}


def run_scaler(config, gradients):
    scale, unskipped = config.get('init_scale', 65536.0), 0
    for mark in gradients:
        if mark == '.':
            unskipped += 1
        else:
            scale = max(scale / 2, config.get('min_loss_scale', 0.0))
            unskipped = 0
        if unskipped == config['scale_window']:
            scale, unskipped = min(scale * 2, 2.0**24), 0
        yield scale, unskipped, None, mark != '.'


def kernel_rule(config):
    return RULE | {'init': config.get('init_scale', 65536.0), 'growthInterval': config['growth_interval'],
                   'growthFactor': config.get('growth_factor', 2.0),
                   'backoffFactor': config.get('backoff_factor', 0.5),
                   'hysteresis': config['hysteresis'], 'refill': 'clean'}


def run_kernel(config, gradients):
    scale, tracker, left = np.float32(config.get('init_scale', 65536.0)), 0, config['hysteresis']
    growth, backoff = config.get('growth_factor', 2.0), config.get('backoff_factor', 0.5)
    for mark in gradients:
        if mark != '.':
            left -= 1
            tracker = 0
            if left <= 0:
                scale = np.float32(scale * np.float32(backoff))
        else:
            tracker += 1
            if tracker == config['growth_interval']:
                grown = np.float32(scale * np.float32(growth))
                scale, tracker = (grown if math.isfinite(grown) else scale), 0
            left = config['hysteresis']
        yield scale, tracker, max(left, 1), mark != '.'


with np.errstate(over='ignore'):
    write('apex', 'stated from the documented rules, Apex not run: record/apex_scaler.py',
          record_all(SCALER, scaler_rule, run_scaler) + record_all(KERNEL, kernel_rule, run_kernel))
