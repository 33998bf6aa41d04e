import { noGrad } from '../autograd/modes.ts';
import { Event } from '../cuda/event.ts';
import { hostTensor } from '../data/host-memory.ts';
import { op } from '../ops/call.ts';
import { cat } from '../tensor/compose.ts';
import { keep, scope } from '../tensor/scope.ts';
import type { Tensor } from '../tensor/tensor.ts';
import { NOT_FINITE, readMagnitudes } from './magnitude.ts';

const viewAs = op<(self: Tensor, dtype: string) => Tensor>('aten::view', 'dtype');
const copyFrom_ = op<(self: Tensor, source: Tensor, options: { non_blocking: boolean }) => void>(
  'aten::copy_',
  '',
);

/** What a window is judged by; all bits are largest magnitudes as float32 bits, int32. */
export interface Evidence {
  /** Unscaled gradients, one a parameter in this order. */
  readonly names: readonly string[];
  readonly gradients: readonly Tensor[];
  /** Gradients after what could have broken them; empty when nothing could. */
  readonly changed: readonly Tensor[];
  /** Floating-point buffers, one a name. */
  readonly bufferNames: readonly string[];
  readonly buffers: readonly Tensor[];
  /** The loss of each batch. */
  readonly losses: readonly Tensor[];
  /** L2 norm of all gradients before clipping; null without clipping. */
  readonly norm: Tensor | null;
  /** The loss scale under which the window ran; null without a scaler. */
  readonly scale: Tensor | null;
}

/** The evidence as numbers. */
export interface Findings {
  readonly finite: boolean;
  readonly names: readonly string[];
  /** Largest |gradient| of each parameter, unscaled; infinite or NaN where it broke. */
  readonly magnitudes: Float32Array;
  /** What is not finite: parameters (for their gradients) and buffers; 'loss' when nothing else is. */
  readonly culprits: readonly string[];
  readonly norm: number | null;
  readonly scale: number | null;
}

/** The evidence of one window in one small tensor, which the host reads once and when it wants to. */
export class WindowVerdict {
  private readonly evidence: Evidence;
  /** int32: gradients, changed gradients, buffers, losses, norm, scale. */
  private readonly bits: Tensor;
  private readonly magnitudes: number;
  private arriving: Arrival | undefined;

  constructor(evidence: Evidence, device: string) {
    this.evidence = evidence;
    const { gradients, changed, buffers, losses, norm, scale } = evidence;
    this.bits = noGrad(() =>
      scope(() => {
        const there = (tensor: Tensor) => tensor.to({ device, nonBlocking: true });
        const judged = [...gradients, ...changed, ...buffers, ...losses].map(there);
        const told = [norm, scale].flatMap((value) => (value === null ? [] : [there(bitsOf(value))]));
        return keep(cat([...judged, ...told]));
      }),
    );
    this.magnitudes = this.bits.numel() - (norm === null ? 0 : 1) - (scale === null ? 0 : 1);
  }

  /** On the device: true (bool) when something is not finite. */
  broken(): Tensor {
    return this.bits.narrow(0, 0, this.magnitudes).ge(NOT_FINITE).any();
  }

  /** Sends the evidence to the host without waiting for it. */
  send(): void {
    this.arriving = new Arrival(this.bits);
  }

  /** HOST SYNC: the one of a step; waits for what `send` sent, where it was called. Only once. */
  read(): Findings {
    const { names, bufferNames, changed, norm, scale } = this.evidence;
    const numbers = this.arriving?.wait() ?? readMagnitudes(this.bits);
    this.bits.dispose();
    let at = 0;
    const next = (count: number) => {
      at += count;
      return numbers.subarray(at - count, at);
    };
    const gradients = next(names.length);
    const after = changed.length === 0 ? gradients : next(names.length);
    const buffers = next(bufferNames.length);
    const losses = next(this.magnitudes - at);
    const culprits = [
      ...names.filter((_, i) => !(Number.isFinite(gradients[i]) && Number.isFinite(after[i]))),
      ...bufferNames.filter((_, i) => !Number.isFinite(buffers[i])),
    ];
    if (culprits.length === 0 && !losses.every(Number.isFinite)) culprits.push('loss');
    return {
      finite: culprits.length === 0,
      names,
      magnitudes: gradients,
      culprits,
      norm: norm === null ? null : next(1)[0]!,
      scale: scale === null ? null : next(1)[0]!,
    };
  }
}

const bitsOf = (value: Tensor) => viewAs(value.detach().float().reshape([1]), 'int32');

/** A small tensor on its way to the host. */
class Arrival {
  private readonly arrived: Tensor;
  private readonly event: Event | undefined;

  constructor(bits: Tensor) {
    const onHost = bits.device === 'cpu';
    this.arrived = hostTensor(bits.numel() * Int32Array.BYTES_PER_ELEMENT, { pinned: !onHost });
    scope(() => copyFrom_(viewAs(this.arrived, 'int32'), bits, { non_blocking: !onHost }));
    if (onHost) return;
    this.event = new Event();
    this.event.record(bits.device);
  }

  wait(): Float32Array {
    this.event?.wait();
    const numbers = scope(() => readMagnitudes(viewAs(this.arrived, 'int32')));
    this.arrived.dispose();
    return numbers;
  }
}
