import { noGrad } from '../autograd/modes.ts';
import { insert, type RemovableHandle } from '../removable-handle.ts';
import { keep, scope } from '../tensor/scope.ts';
import type { Tensor } from '../tensor/tensor.ts';
import { magnitudes, readMagnitudes } from './magnitude.ts';
import type { HasParamGroups } from './unscale-grads.ts';

/** Measures gradients that no parameter holds, such as those between modules. */
export interface GradientSource {
  /**
   * Called once an update, after backward, with the scale that was in force: the largest |gradient| after
   * unscaling that it has to tell, or null.
   */
  collect(scale: number): number | null;
}

/** The largest fp16 gradient of one update, from whoever measured one. */
export class LargestGradient {
  private noted: number | null = null;
  /** Largest magnitudes per device, as bits, not yet read. */
  private readonly measured: { bits: Tensor; factor: number }[] = [];
  private readonly sources: GradientSource[] = [];
  private watched: ReadonlySet<Tensor> | null = null;

  attach(source: GradientSource): RemovableHandle {
    return insert(this.sources, source);
  }

  watch(parameters: Iterable<Tensor> | null): void {
    this.watched = parameters === null ? null : new Set(parameters);
  }

  watches(parameter: Tensor): boolean {
    return this.watched?.has(parameter) ?? true;
  }

  note(value: number): void {
    if (Number.isFinite(value)) this.noted = Math.max(this.noted ?? 0, value);
  }

  /** Measures the optimizer's gradients, which are `factor` times too large; the host reads nothing. */
  measure({ paramGroups }: HasParamGroups, factor: number): void {
    const perDevice = new Map<string, Tensor[]>();
    for (const param of paramGroups.flatMap(({ params }) => params)) {
      const { grad } = param;
      if (grad === null || !this.watches(param)) continue;
      perDevice.set(grad.device, [...(perDevice.get(grad.device) ?? []), grad]);
    }
    noGrad(() =>
      scope(() => {
        for (const grads of perDevice.values()) {
          this.measured.push({ bits: keep(magnitudes(grads).max().reshape([1])), factor });
        }
      }),
    );
  }

  /** The largest of all, and a fresh start. HOST SYNC: for what `measure` left on a device. */
  take(scale: number): number | null {
    for (const { bits, factor } of this.measured.splice(0)) {
      this.note(readMagnitudes(bits)[0]! / factor);
      bits.dispose();
    }
    for (const source of this.sources) {
      const found = source.collect(scale);
      if (found !== null) this.note(found);
    }
    const largest = this.noted;
    this.noted = null;
    return largest;
  }
}
