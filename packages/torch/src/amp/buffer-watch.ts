import { bufferVersion, type Module } from '../nn/module.ts';
import { scope } from '../tensor/scope.ts';
import type { Tensor } from '../tensor/tensor.ts';
import { magnitudes, readMagnitudes } from './magnitude.ts';

type Named = readonly [name: string, buffer: Tensor];

/** The buffers of a model as they are now: a module may put another tensor in a buffer's place. */
export class BufferWatch {
  private readonly model: Module;
  private named: readonly Named[] = [];
  private floating: readonly Named[] = [];
  private version = -1;
  /** Masks and the like that hold infinities by design; they are no sign of an overflow. */
  private exempt: ReadonlySet<string> | undefined;

  constructor(model: Module) {
    this.model = model;
  }

  /** Looks through the model anew. HOST SYNC: the first time only. */
  refresh(): void {
    this.named = [...this.model.namedBuffers()];
    this.version = bufferVersion();
    const floating = this.named.filter(([, buffer]) => buffer.isFloatingPoint());
    this.exempt ??= brokenAmong(floating);
    const { exempt } = this;
    this.floating = exempt.size === 0 ? floating : floating.filter(([name]) => !exempt.has(name));
  }

  get names(): string[] {
    return this.current().map(([name]) => name);
  }

  get tensors(): Tensor[] {
    return this.current().map(([, buffer]) => buffer);
  }

  /** The floating-point buffers, but for those that were not finite before the first batch. */
  get judged(): readonly Named[] {
    this.current();
    return this.floating;
  }

  private current(): readonly Named[] {
    if (this.version !== bufferVersion()) this.refresh();
    return this.named;
  }
}

function brokenAmong(named: readonly Named[]): Set<string> {
  return scope(() => {
    const finite = (buffer: Tensor) => readMagnitudes(magnitudes([buffer])).every(Number.isFinite);
    return new Set(named.filter(([, buffer]) => !finite(buffer)).map(([name]) => name));
  });
}
