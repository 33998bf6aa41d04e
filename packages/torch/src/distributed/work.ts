import { type NativeWork, native } from '@mezzo/libtorch';

/** A collective that is under way (torch.distributed.Work). Its tensors must not be used before it has ended. */
export class Work {
  /** None once it has ended. */
  #native: NativeWork | undefined;
  #finish: (() => void) | undefined;

  /** @internal `finish` runs once, before the first wait returns. */
  constructor(work: NativeWork, finish?: () => void) {
    this.#native = work;
    this.#finish = finish;
  }

  /**
   * Waits on this thread, for use inside a training step.
   * @throws TorchError DISTRIBUTED_TIMEOUT, DISTRIBUTED_PEER_LOST, DISTRIBUTED
   */
  wait(): void {
    if (this.#native === undefined) return;
    native().workWait(this.#native);
    this.#end();
  }

  /** Waits while other JavaScript runs; fails as `wait` does. */
  async waitAsync(): Promise<void> {
    if (this.#native === undefined) return;
    await native().workDone(this.#native);
    this.#end();
  }

  isCompleted(): boolean {
    return this.#native === undefined || native().workIsCompleted(this.#native);
  }

  #end(): void {
    if (this.#native === undefined) return;
    native().workRelease(this.#native);
    this.#native = undefined;
    const finish = this.#finish;
    this.#finish = undefined;
    finish?.();
  }
}
