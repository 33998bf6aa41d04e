import { full } from '../tensor/creation.ts';
import { keep, scope } from '../tensor/scope.ts';
import type { Tensor } from '../tensor/tensor.ts';
import { AmpError } from './errors.ts';
import type { ScaleRule, ScaleState } from './scale-rule.ts';

/** A GradScaler's checkpoint, under PyTorch's keys; under another rule than PyTorch's also all of that. */
export interface GradScalerState {
  scale: number;
  growth_factor: number;
  backoff_factor: number;
  growth_interval: number;
  _growth_tracker: number;
  rule?: ScaleRule;
  state?: ScaleState;
}

/** What the windows of one update met, where it is wanted: the other place is not asked. */
export interface WindowVerdict {
  /** A number on the scale's device, not 0 after an overflow. */
  onDevice(): Tensor;
  /** May make the host wait. */
  onHost(): {
    overflow: boolean;
    largest: number | null;
    culprits: { names: readonly string[]; ranks: readonly number[] };
  };
}

/** The scale beside the loss: a scalar, made when its device is known. Subclasses say how it moves. */
export abstract class LossScale {
  protected scale: Tensor | undefined;

  abstract growthFactor: number;
  abstract backoffFactor: number;
  abstract growthInterval: number;
  protected abstract readonly initialScale: number;

  abstract value(): number;
  abstract trackerValue(): number;
  abstract adapt(verdict: WindowVerdict): void;
  abstract stateDict(): GradScalerState;
  abstract loadStateDict(state: GradScalerState): void;

  /** The scale; the first call puts it on that device for good. */
  on(device: string): Tensor {
    this.scale ??= keep(full([], this.initialScale, { dtype: 'float32', device }));
    return this.scale;
  }

  /** `other`, on this one's device if it has one. */
  replacedBy(other: LossScale): LossScale {
    if (this.scale !== undefined) other.on(this.scale.device);
    this.scale?.dispose();
    return other;
  }

  /** @throws AmpError ASSERTION before the first `on()` */
  require(caller: string): Tensor {
    if (this.scale !== undefined) return this.scale;
    throw new AmpError(
      'ASSERTION',
      `Attempted ${caller} but _scale is None.  This may indicate your script did not use ` +
        'scaler.scale(loss or outputs) earlier in the iteration.',
    );
  }

  /**
   * Replaces the scale by a copy.
   * @throws AmpError ASSERTION unless a tensor is one number without gradient on that kind of device
   */
  replace(newScale: number | Tensor, device: string): void {
    if (typeof newScale === 'number') {
      this.scale!.fill_(newScale);
      return;
    }
    if (!newScale.device.startsWith(device) || newScale.numel() !== 1 || newScale.requiresGrad) {
      throw new AmpError(
        'ASSERTION',
        'new_scale should be a float or a 1-element torch.cuda.FloatTensor or torch.FloatTensor ' +
          'with requires_grad=False.',
      );
    }
    scope(() => {
      this.scale!.copy_(newScale.reshape([]));
    });
  }
}
