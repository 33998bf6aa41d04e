import { autocast, cuda, memory, noGrad, scope, type Tensor } from '@mezzo/torch';
import { untouched } from '../autopsy/restore.ts';
import { nonFiniteNames, readMagnitudes } from './magnitudes.ts';
import { deviceType, type Pass, type PreflightSubject } from './subject.ts';

/** A pass as it is to be run. */
export interface PassSettings {
  readonly batch: number;
  readonly dtype: Pass['dtype'];
  /** Factor on the loss, a power of two; the gradients are divided by it. */
  readonly scale: number;
}

/** What a pass left: gradients in float32, without the scale. */
export interface PassRecord<D> {
  readonly settings: PassSettings;
  readonly loss: number;
  /** float32. */
  readonly outputs: Readonly<Record<string, Tensor>>;
  readonly detail: D;
  /** Of every parameter that trains; null where none arrived. */
  readonly gradients: ReadonlyMap<string, Tensor | null>;
  /** Largest magnitude of each gradient after unscaling, not finite where it overflowed. */
  readonly largest: ReadonlyMap<string, number>;
  /** Parameters whose gradients are not finite. */
  readonly overflowed: readonly string[];
  /** Most bytes of tensors while it ran. */
  readonly peakBytes: number;
  readonly seconds: number;
}

/** The loss of a subject is not one number. */
export class LossShapeError extends Error {}

/** Forward, loss and backward; the model is left as it was found. */
export function runPass<D>(subject: PreflightSubject<D>, settings: PassSettings): PassRecord<D> {
  const { model, device } = subject;
  const { batch, dtype, scale } = settings;
  const begun = performance.now();
  resetPeak(device);
  return untouched(model, () =>
    scope(() => {
      const region = { device: deviceType(device), enabled: dtype !== 'float32' } as const;
      const { loss, outputs, detail } = subject.run({
        batch,
        dtype,
        region: (fn) => autocast(dtype === 'float32' ? region : { ...region, dtype }, fn),
      });
      if (loss.numel() !== 1) {
        throw new LossShapeError(`the loss has ${loss.numel()} elements, shape [${loss.shape.join(', ')}]`);
      }
      const value = Number(loss.item());
      loss.mul(scale).sum().backward();
      const gradients = new Map<string, Tensor | null>();
      for (const [name, parameter] of model.namedParameters()) {
        if (!parameter.requiresGrad) continue;
        const { grad } = parameter;
        gradients.set(name, grad === null ? null : noGrad(() => grad.detach().float().div(scale)));
      }
      const largest = readMagnitudes(gradients);
      return {
        settings,
        loss: value,
        outputs: mapRecord(outputs, (output) => noGrad(() => output.detach().float())),
        detail,
        gradients,
        largest,
        overflowed: nonFiniteNames(largest),
        peakBytes: peak(device),
        seconds: (performance.now() - begun) / 1000,
      };
    }),
  );
}

export const isFinitePass = ({ loss, overflowed }: PassRecord<unknown>): boolean =>
  Number.isFinite(loss) && overflowed.length === 0;

function resetPeak(device: string): void {
  if (deviceType(device) === 'cpu') memory.resetPeak();
  else cuda.resetPeakMemoryStats(device);
}

const peak = (device: string): number =>
  deviceType(device) === 'cpu' ? memory.stats().peakBytes : cuda.maxMemoryAllocated(device);

const mapRecord = <A, B>(record: Readonly<Record<string, A>>, fn: (value: A) => B): Record<string, B> =>
  Object.fromEntries(Object.entries(record).map(([key, value]) => [key, fn(value)]));
