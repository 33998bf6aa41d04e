"""
Turns the trace of torch.amp.GradScaler (torch 2.15.0, CPU) that the tests of packages/torch keep into this format.
Left out: what sets the scale by hand, and a disabled scaler.
"""

import json
from pathlib import Path

from sequences import RULE, trace, write

MARKS = {'ok': '.', 'zero': '.', 'inf': 'i', '-inf': 'i', 'nan': 'n'}
LEFT_OUT = ('new_scale_and_state', 'disabled')

root = Path(__file__).parents[3]
golden = json.loads((root / 'packages/torch/test/fixtures/grad_scaler.json').read_text())


def mark_of(put):
    """Several gradients of one step: the worst counts."""
    marks = [MARKS[each] for each in (put if isinstance(put, list) else [put])]
    return next((mark for mark in marks if mark != '.'), '.')


def rule_of(config):
    names = {'init_scale': 'init', 'growth_factor': 'growthFactor', 'growth_interval': 'growthInterval',
             'backoff_factor': 'backoffFactor'}
    return RULE | {names[key]: value for key, value in config.items()}


def convert(scenario):
    steps = scenario['trace']
    marks = ''.join(mark_of(step['grad']) for step in steps)
    rows = [(step['scale'], step['growth_tracker'], None, not all(step['stepped'])) for step in steps]
    return trace(scenario['name'], scenario['config'], rule_of(scenario['config']), marks, rows)


write('torch', 'recorded from torch 2.15.0, torch.amp.GradScaler on the CPU: record/torch_scaler.py',
      [convert(scenario) for scenario in golden['scenarios'] if scenario['name'] not in LEFT_OUT])
