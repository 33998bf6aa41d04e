import { noGrad } from '../autograd/modes.ts';
import { Event } from '../cuda/event.ts';
import { hostTensor } from '../data/host-memory.ts';
import { op } from '../ops/call.ts';
import { cat } from '../tensor/compose.ts';
import { keep, scope } from '../tensor/scope.ts';
import type { Tensor } from '../tensor/tensor.ts';
import { NOT_FINITE, readMagnitudes } from './magnitude.ts';
import { compareRanks, gatherRows, type RankCulprits, type RankEvidence } from './window-ranks.ts';

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
  /** Where several processes train together. */
  readonly ranks: RankEvidence | null;
}

/** The evidence of one rank as numbers. */
export interface EvidenceRow {
  readonly gradients: Float32Array;
  readonly changed: Float32Array;
  readonly buffers: Float32Array;
  readonly losses: Float32Array;
  readonly brought: Float32Array;
  readonly norm: number | null;
  readonly scale: number | null;
}

/** What a window is found to be. */
export interface Findings {
  readonly finite: boolean;
  readonly names: readonly string[];
  /** Largest |gradient| of each parameter, unscaled; infinite or NaN where it broke. */
  readonly magnitudes: Float32Array;
  /** The same before the mean over ranks, the largest of all ranks; in one process those above. */
  readonly beforeMean: Float32Array;
  /** What is not finite, on any rank: parameters (for their gradients) and buffers; 'loss' when nothing else is. */
  readonly culprits: readonly string[];
  /** The same by rank; a gradient that broke in the mean itself is on none. Empty in one process. */
  readonly culpritsByRank: readonly RankCulprits[];
  readonly norm: number | null;
  readonly scale: number | null;
}

/** The evidence of one window in one small tensor, which the host reads once and when it wants to. */
export class WindowVerdict {
  private readonly evidence: Evidence;
  /** int32 [ranks, columns]: gradients, changed gradients, buffers, losses, what ranks bring, norm, scale. */
  private readonly bits: Tensor;
  private readonly judged: number;
  private arriving: Arrival | undefined;

  constructor(evidence: Evidence, device: string) {
    this.evidence = evidence;
    const { gradients, changed, buffers, losses, norm, scale, ranks } = evidence;
    this.bits = noGrad(() =>
      scope(() => {
        const there = (tensor: Tensor) => tensor.to({ device, nonBlocking: true });
        const brought = ranks === null ? [] : [ranks.brought];
        const judged = [...gradients, ...changed, ...buffers, ...losses, ...brought].map(there);
        const told = [norm, scale].flatMap((value) => (value === null ? [] : [there(bitsOf(value))]));
        const row = cat([...judged, ...told]);
        return keep(ranks === null ? row.unsqueeze(0) : gatherRows(row, ranks.group));
      }),
    );
    this.judged = this.bits.size(1) - (norm === null ? 0 : 1) - (scale === null ? 0 : 1);
  }

  /** On the device: true (bool) when something is not finite, on any rank. */
  broken(): Tensor {
    return this.bits.narrow(1, 0, this.judged).ge(NOT_FINITE).any();
  }

  /** Sends the evidence to the host without waiting for it. */
  send(): void {
    this.arriving = new Arrival(this.bits.reshape([-1]));
  }

  /**
   * HOST SYNC: the one of a step; waits for what `send` sent, where it was called. Only once.
   * @throws DistributedError VALUE when the ranks' loss scales differ
   */
  read(): Findings {
    const { names, bufferNames, ranks } = this.evidence;
    const numbers = this.arriving?.wait() ?? readMagnitudes(this.bits);
    const columns = this.bits.size(1);
    const rows = Array.from({ length: this.bits.size(0) }, (_, i) =>
      this.rowOf(numbers.subarray(i * columns, (i + 1) * columns)),
    );
    this.bits.dispose();
    const own = rows[ranks?.group.rank ?? 0]!;
    const told = ranks === null ? null : compareRanks(rows, names, bufferNames, ranks);
    const inMean = names.filter(
      (_, i) => !(Number.isFinite(own.gradients[i]) && Number.isFinite(own.changed[i])),
    );
    const found = new Set([...inMean, ...bufferNames.filter((_, i) => !Number.isFinite(own.buffers[i]))]);
    for (const { culprits } of told?.culpritsByRank ?? []) for (const name of culprits) found.add(name);
    found.delete('loss');
    if (found.size === 0 && !rows.every(({ losses }) => losses.every(Number.isFinite))) found.add('loss');
    const culprits = [...names, ...bufferNames, 'loss'].filter((name) => found.has(name));
    return {
      finite: culprits.length === 0,
      names,
      magnitudes: own.gradients,
      beforeMean: told?.beforeMean ?? own.gradients,
      culprits,
      culpritsByRank: told?.culpritsByRank ?? [],
      norm: own.norm,
      scale: own.scale,
    };
  }

  private rowOf(numbers: Float32Array): EvidenceRow {
    const { names, bufferNames, changed, losses, norm, scale } = this.evidence;
    let at = 0;
    const next = (count: number) => {
      at += count;
      return numbers.subarray(at - count, at);
    };
    const gradients = next(names.length);
    return {
      gradients,
      changed: changed.length === 0 ? gradients : next(names.length),
      buffers: next(bufferNames.length),
      losses: next(losses.length),
      brought: next(this.judged - at),
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
