import { TensorHandle } from '../tensor/handle.ts';
import { warn } from '../warning.ts';
import { takeOutermostDtype } from './state.ts';

const told = new WeakSet<object>();

/**
 * bfloat16 has the exponent range of float32, so its gradients do not vanish and a scale has nothing to cure.
 * It does no harm either: the user is told once a scaler.
 */
export function noteBfloat16(scaler: object, outputs: unknown): void {
  const computedIn = takeOutermostDtype();
  if (told.has(scaler)) return;
  const low = outputs instanceof TensorHandle && outputs.dtype === 'bfloat16';
  if (computedIn !== 'bfloat16' && !low) return;
  told.add(scaler);
  warn(
    'SCALER_NOT_NEEDED',
    'GradScaler is enabled for a loss computed in bfloat16, which has the exponent range of float32: ' +
      'it is not needed there. Disable it (enabled: false), or use float16.',
  );
}
