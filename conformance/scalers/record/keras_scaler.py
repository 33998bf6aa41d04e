"""Records keras.optimizers.LossScaleOptimizer. KERAS_BACKEND=jax; pip install keras==3.15.1 jax==0.10.2"""

import os

os.environ['KERAS_BACKEND'] = 'jax'

import jax
import keras
import numpy as np

from sequences import RULE, VALUE, record_all, trace, write

CONFIGS = [
    {'dynamic_growth_steps': 2},
    {'initial_scale': 64.0, 'dynamic_growth_steps': 3},
    {'initial_scale': 2.0**125, 'dynamic_growth_steps': 1},
]
# The two that Keras's own tests state: four bad steps, eight good ones.
STATED = [({'initial_scale': 400.0}, 'iiii'), ({'initial_scale': 2.0, 'dynamic_growth_steps': 2}, '........')]


def rule_of(config):
    return RULE | {
        'init': config.get('initial_scale', 2.0**15),
        'growthInterval': config.get('dynamic_growth_steps', 2000),
        'beyondFinite': 'allow',
    }


def record(config, gradients):
    optimizer = keras.optimizers.LossScaleOptimizer(keras.optimizers.SGD(0.0), **config)
    weight = keras.Variable(np.float32(1))
    optimizer.build([weight])
    names = [id(variable) for variable in optimizer.variables]
    state, weights = [variable.value for variable in optimizer.variables], [weight.value]

    def now(variable):
        return float(state[names.index(id(variable))])

    for gradient in gradients:
        before = now(optimizer.iterations)
        weights, state = optimizer.stateless_apply(state, [np.float32(VALUE[gradient])], weights)
        yield now(optimizer.dynamic_scale), int(now(optimizer.step_counter)), None, now(optimizer.iterations) == before


write('keras', f'recorded from keras {keras.__version__} on jax {jax.__version__}: record/keras_scaler.py', record_all(CONFIGS, rule_of, record) + [
    trace(f'as its own tests state, {config}', config, rule_of(config), sequence, list(record(config, sequence)))
    for config, sequence in STATED
])
