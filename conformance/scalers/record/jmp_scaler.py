"""Records jmp.DynamicLossScale and StaticLossScale. pip install jmp==0.0.4 jax==0.10.2"""

from importlib.metadata import version

import jax
import jax.numpy as jnp
import jmp

from sequences import RULE, SEQUENCES, VALUE, record_all, trace, write

CONFIGS = [
    {'loss_scale': 2.0**15, 'period': 2},
    {'loss_scale': 64.0, 'period': 3, 'factor': 4},
    {'loss_scale': 8.0, 'period': 4, 'min_loss_scale': 0.125},
    {'loss_scale': 2.0**126, 'period': 1},
]


def rule_of(config):
    factor = config.get('factor', 2)
    return RULE | {
        'init': config['loss_scale'], 'growthFactor': factor, 'growthInterval': config['period'],
        'backoffFactor': 1 / factor, 'floor': config.get('min_loss_scale', 1.0),
    }


def finite_flag(gradient):
    return jmp.all_finite({'w': jnp.float32(VALUE[gradient])})


def record(config, gradients):
    arrays = {k: jnp.float32(v) if 'scale' in k else v for k, v in config.items()}
    scaler = jmp.DynamicLossScale(**arrays)
    for gradient in gradients:
        finite = finite_flag(gradient)
        scaler = scaler.adjust(finite)
        yield scaler.loss_scale, int(scaler.counter), None, not bool(finite)


def record_static(gradients):
    scaler = jmp.StaticLossScale(jnp.float32(128))
    for gradient in gradients:
        finite = finite_flag(gradient)
        scaler = scaler.adjust(finite)
        yield scaler.loss_scale, None, None, not bool(finite)


write('jmp', f'recorded from jmp {version("jmp")} on jax {jax.__version__}: record/jmp_scaler.py', record_all(CONFIGS, rule_of, record) + [
    trace(f'static, {name}', {'loss_scale': 128}, RULE | {'kind': 'static', 'init': 128}, sequence,
          list(record_static(sequence)))
    for name, sequence in SEQUENCES.items()
])
