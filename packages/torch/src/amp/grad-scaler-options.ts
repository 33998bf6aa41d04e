import type { ProcessGroup } from '../distributed/group.ts';
import type { ScaleRule } from './scale-rule.ts';
import type { AutocastDevice } from './state.ts';

export interface GradScalerOptions {
  /** Default: 'cuda' when there is a GPU, else 'cpu'. */
  device?: AutocastDevice;
  /**
   * How the scale moves. Default: PyTorch's rule, on LibTorch's kernel. Any other is advanced on the host:
   * `update` reads the verdict unless `step` did. The options below take the place of the rule's fields.
   */
  rule?: ScaleRule;
  initScale?: number;
  /** Above 1. */
  growthFactor?: number;
  /** Below 1. */
  backoffFactor?: number;
  /** Steps in a row without overflow after which the scale grows. */
  growthInterval?: number;
  /**
   * Ranks that skip together and keep one scale, though each has gradients of its own. Gradients that
   * DistributedDataParallel has averaged need it only where a `GradientSource` measures others.
   */
  processGroup?: ProcessGroup;
  /** A disabled scaler passes everything through, so one loop serves with and without. */
  enabled?: boolean;
}
