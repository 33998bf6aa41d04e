import { didYouMean, loadSafetensors, noGrad, saveSafetensors, scope, Tensor } from '@mezzo/torch';
import { KerasError } from '../errors.ts';
import { shapeText } from '../graph/shape.ts';
import { asTensor, type Data } from '../training/data.ts';
import type { Model } from './model.ts';

export function setWeights(model: Model, values: readonly Data[]): void {
  requireBuilt(model);
  const weights = model.namedWeights();
  if (values.length !== weights.length) {
    throw new KerasError(
      'SHAPE_MISMATCH',
      `model '${model.name}': expected ${weights.length} weights, but got ${values.length}`,
    );
  }
  scope(() => {
    const tensors = values.map((value) => (value instanceof Tensor ? value : asTensor(value)));
    assign(model, weights, (_, i) => tensors[i]!, 'SHAPE_MISMATCH');
  });
}

export function saveWeights(model: Model, file: string): void {
  requireBuilt(model);
  const tensors = Object.fromEntries(model.namedWeights().map(([name, weight]) => [name, weight.detach()]));
  saveSafetensors(file, tensors, { format: 'keras', model: model.name });
}

export function loadWeights(model: Model, file: string): void {
  requireBuilt(model);
  const weights = model.namedWeights();
  scope(() => {
    const { tensors } = loadSafetensors(file);
    const own = new Set(weights.map(([name]) => name));
    const missing = [...own].filter((name) => !Object.hasOwn(tensors, name));
    const left = Object.keys(tensors).filter((name) => !own.has(name));
    if (missing.length + left.length > 0) {
      const said = [
        missing.length === 0 ? '' : ` lacks ${missing.join(', ')}`,
        left.length === 0 ? '' : ` has ${left.join(', ')}, which the model does not`,
      ];
      throw new KerasError(
        'BAD_WEIGHTS',
        `${file} is not of model '${model.name}': it${said.filter(Boolean).join(' and')}` +
          (missing.length === 1 ? didYouMean(missing[0]!, left) : ''),
      );
    }
    assign(model, weights, (name) => tensors[name]!, 'BAD_WEIGHTS');
  });
}

/** Copies all or, when a shape differs, nothing. */
function assign(
  model: Model,
  weights: readonly (readonly [name: string, weight: Tensor])[],
  value: (name: string, i: number) => Tensor,
  code: 'SHAPE_MISMATCH' | 'BAD_WEIGHTS',
): void {
  weights.forEach(([name, weight], i) => {
    const { shape } = value(name, i);
    if (String(shape) === String(weight.shape)) return;
    throw new KerasError(
      code,
      `model '${model.name}': expected ${name} of shape ${shapeText(weight.shape)}, but got ${shapeText(shape)}`,
    );
  });
  noGrad(() => {
    weights.forEach(([name, weight], i) => {
      weight.copy_(value(name, i));
    });
  });
}

/** @throws KerasError NOT_READY */
export function requireBuilt(model: Model): void {
  if (model.built) return;
  throw new KerasError(
    'NOT_READY',
    `model '${model.name}': its shapes are not known yet`,
    'begin it with keras.Input({ shape }), or call it on data first',
  );
}
