"""Records flax.training.dynamic_scale.DynamicScale. pip install flax==0.12.8 jax==0.10.2"""

import flax
import jax
import jax.numpy as jnp
from flax.training.dynamic_scale import DynamicScale

from sequences import RULE, VALUE, record_all, write

TINY, MAX = float(jnp.finfo(jnp.float32).tiny), float(jnp.finfo(jnp.float32).max)

CONFIGS = [
    {'growth_interval': 2},
    {'growth_interval': 1, 'growth_factor': 3.0, 'backoff_factor': 0.25, 'scale': 4.0},
    {'growth_interval': 3, 'scale': 1.0, 'minimum_scale': 0.5},
    {'growth_interval': 1, 'scale': 2.0**126},
    {'growth_interval': 4, 'scale': 2.0**-124},
]


def rule_of(config):
    return RULE | {
        'init': config.get('scale', 65536.0),
        'growthFactor': config.get('growth_factor', 2.0),
        'growthInterval': config['growth_interval'],
        'backoffFactor': config.get('backoff_factor', 0.5),
        'floor': config.get('minimum_scale', TINY),
        'count': 'after',
        'beyondFinite': 'clamp',
    }


def record(config, gradients):
    scaler = DynamicScale(**{key: jnp.float32(v) if key == 'scale' else v for key, v in config.items()})
    for gradient in gradients:
        # d(w·x)/dw is x, whatever the scale: infinities and NaN arrive as they are.
        loss = lambda w, x=VALUE[gradient] * 1e-30: w * x
        scaler, finite, _, _ = scaler.value_and_grad(loss)(jnp.float32(1))
        yield scaler.scale, int(scaler.fin_steps), None, not bool(finite)


write('flax', f'recorded from flax {flax.__version__} on jax {jax.__version__}: record/flax_scaler.py', record_all(CONFIGS, rule_of, record))
