"""The gradients that every recorded scaler is shown: '.' finite, 'i' infinite, 'n' not a number."""

import json
import math
import random
from pathlib import Path

VALUE = {'.': 0.5, 'i': math.inf, 'n': math.nan}


def randomly(seed, length=120, overflow=0.15):
    """A sequence that comes out the same everywhere: Python's Mersenne Twister, seeded."""
    draw = random.Random(seed)
    return ''.join('.' if draw.random() >= overflow else draw.choice('in') for _ in range(length))


SEQUENCES = {
    'clean': '.' * 12,
    'overflow only': 'i' * 12,
    'an overflow starts the count anew': '.i..n...i....i.....',
    'overflows in runs': '..ii....iii......nnnn........i.i.i..........',
    'random, overflow 15 %': randomly(1),
    'random, overflow 40 %': randomly(2, overflow=0.4),
    'random, overflow 2 %': randomly(3, overflow=0.02),
}


def plain(value):
    """A number as JSON: a float32 prints as the double of the same value, infinity as a word."""
    if isinstance(value, int):
        return value
    value = float(value)
    if math.isinf(value):
        return 'Infinity'
    return int(value) if value.is_integer() and abs(value) < 2**53 else value


def trace(name, config, rule, gradients, rows):
    """`rows`: one (scale, tracker, patience, skipped[, raised]) per mark of `gradients`; None where it is not told."""
    columns = list(zip(*rows))
    result = {'name': name, 'config': config, 'rule': rule, 'gradients': gradients[:len(rows)]}
    for key, values in zip(('scale', 'tracker', 'patience', 'skipped', 'raised'), columns):
        if all(value is None for value in values):
            continue
        result[key] = [v if isinstance(v, bool) or v is None else plain(v) for v in values]
    return result


def record_all(configs, rule_of, record):
    """Every configuration through every sequence."""
    return [
        trace(f'{name}, {", ".join(f"{key} {value}" for key, value in config.items())}', config, rule_of(config),
              sequence, list(record(config, sequence)))
        for config in configs for name, sequence in SEQUENCES.items()
    ]


def write(system, source, traces):
    path = Path(__file__).parent.parent / f'{system}.json'
    head = {'format': 1, 'system': system, 'source': source}
    lines = ',\n    '.join(json.dumps(each, ensure_ascii=False) for each in traces)
    text = json.dumps(head, ensure_ascii=False)[:-1] + f',\n  "traces": [\n    {lines}\n  ]\n}}\n'
    path.write_text(text.replace('{"format"', '{\n  "format"', 1).replace(', "system"', ',\n  "system"', 1)
                    .replace(', "source"', ',\n  "source"', 1))
    print(f'{path.name}: {len(traces)} traces, {sum(len(t["gradients"]) for t in traces)} steps')


RULE = {
    'kind': 'dynamic', 'init': 65536, 'growthFactor': 2, 'growthInterval': 2000, 'backoffFactor': 0.5,
    'floor': None, 'raiseAtFloor': False, 'ceiling': None, 'hysteresis': 1, 'refill': 'growth',
    'count': 'before', 'countAfterGrowth': 0, 'beyondFinite': 'refuse',
}
