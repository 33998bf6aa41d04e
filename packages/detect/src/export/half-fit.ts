import { MezzoError, scope, type Tensor } from '@mezzo/torch';

const LARGEST = 65504;
/** Below this fp16 keeps fewer than its 11 bits; below 2^-25 nothing. */
const SMALLEST_NORMAL = 2 ** -14;

/** A tensor that fp16 cannot hold. */
export interface HalfMisfit {
  readonly name: string;
  /** Largest magnitude in it; `Infinity` or `NaN` as text. */
  readonly largest: number | 'Infinity' | 'NaN';
  readonly reason: string;
}

/** What becomes of weights in fp16. */
export interface HalfReport {
  readonly tensors: number;
  readonly values: number;
  /** Numbers other than zero that become zero. */
  readonly flushed: number;
  /** Tensors that lie below the normal numbers of fp16 as a whole, and so lose bits or all: names and magnitudes. */
  readonly faint: readonly { readonly name: string; readonly largest: number }[];
  /** Name and magnitude of the tensor that is nearest to the end of the range, 65504. */
  readonly largest: { readonly name: string; readonly magnitude: number };
  /** Largest change of a number, relative to the largest magnitude of its tensor; without the faint ones. */
  readonly rounding: number;
}

/** Collects how weights fare in fp16. */
export class HalfFit {
  readonly misfits: HalfMisfit[] = [];
  readonly #faint: { name: string; largest: number }[] = [];
  #tensors = 0;
  #values = 0;
  #flushed = 0;
  #rounding = 0;
  #largest = { name: '', magnitude: 0 };

  add(name: string, tensor: Tensor): void {
    this.#tensors += 1;
    this.#values += tensor.numel();
    if (tensor.numel() === 0) return;
    scope(() => {
      const exact = tensor.detach().cpu().double();
      const magnitude = exact.abs().max().item() as number;
      if (magnitude > this.#largest.magnitude) this.#largest = { name, magnitude };
      const reason = misfit(magnitude);
      if (reason !== undefined) {
        const largest = Number.isFinite(magnitude) ? magnitude : Number.isNaN(magnitude) ? 'NaN' : 'Infinity';
        this.misfits.push({ name, largest, reason });
        return;
      }
      const rounded = exact.float().half().double();
      const lost = rounded.eq(0).to('float64').sum().sub(exact.eq(0).to('float64').sum());
      this.#flushed += lost.item() as number;
      if (magnitude === 0) return;
      if (magnitude < SMALLEST_NORMAL) {
        this.#faint.push({ name, largest: magnitude });
        return;
      }
      const change = (rounded.sub(exact).abs().max().item() as number) / magnitude;
      this.#rounding = Math.max(this.#rounding, change);
    });
  }

  /** @throws {MezzoError} HALF_RANGE naming the tensors that fp16 cannot hold, with their magnitudes */
  report(): HalfReport {
    const { misfits } = this;
    if (misfits.length > 0) {
      const shown = misfits.slice(0, 8).map(({ name, largest, reason }) => `${name} (${largest}: ${reason})`);
      const rest = misfits.length > shown.length ? `, and ${misfits.length - shown.length} more` : '';
      const what = misfits.length === 1 ? '1 tensor does' : `${misfits.length} tensors do`;
      throw new MezzoError('HALF_RANGE', `${what} not fit into fp16: ${shown.join(', ')}${rest}`, {
        hint: 'export without half=true; nothing is clipped or changed to make it fit',
      });
    }
    return {
      tensors: this.#tensors,
      values: this.#values,
      flushed: this.#flushed,
      faint: this.#faint,
      largest: this.#largest,
      rounding: this.#rounding,
    };
  }
}

function misfit(magnitude: number): string | undefined {
  if (!Number.isFinite(magnitude)) return 'not finite';
  if (magnitude > LARGEST) return `beyond ${LARGEST}`;
  return undefined;
}
