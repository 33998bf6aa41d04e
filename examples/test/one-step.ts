import assert from 'node:assert/strict';
import { GradScaler, type nn, scope, type Tensor } from '@mezzo/torch';
import { openRun, type Run } from '../lesson.ts';

export const DTYPES: readonly Run['dtype'][] = ['float32', 'bfloat16', 'float16'];

export const parameterCount = (model: nn.Module): number =>
  model.parameters().reduce((sum, parameter) => sum + parameter.numel(), 0);

/** The loss of one batch in a precision, after checking that it and all gradients are finite. */
export function oneStep(dtype: Run['dtype'], model: nn.Module, loss: () => Tensor): number {
  const { amp } = openRun({ seed: 0, dtype, device: 'cpu' });
  // A run comes down to such a scale by itself, in a few skipped steps.
  const scaler = new GradScaler({ device: 'cpu', enabled: dtype === 'float16', initScale: 128 });
  return scope(() => {
    model.zeroGrad();
    const value = amp(loss);
    assert.equal(value.dtype, 'float32');
    scaler.scale(value).backward();
    for (const [name, { grad }] of model.namedParameters()) {
      assert.ok(grad !== null, `${name} has no gradient`);
      assert.ok(
        Number.isFinite(Number(grad.sum().item())),
        `${dtype}: the gradient of ${name} is not finite`,
      );
    }
    return Number(value.item());
  });
}
