import { TorchError } from '@mezzo/libtorch';

const AsyncFunction = (async () => {}).constructor;

const message = (region: string) =>
  `${region}: the function is async. Its region is a property of the thread, so other code would run inside ` +
  'it during an await; pass a synchronous function and await outside';

/** Regions that change thread-local state run synchronous functions only: refused before the body runs … */
export function refuseAsync(region: string, fn: unknown): void {
  if (fn instanceof AsyncFunction) throw new TorchError('ASYNC_REGION', message(region));
}

/** … and, for a plain function that returns a promise, after it ran. */
export function refusePromise(region: string, result: unknown): void {
  if (
    typeof result === 'object' &&
    result !== null &&
    typeof (result as PromiseLike<unknown>).then === 'function'
  ) {
    throw new TorchError('ASYNC_REGION', message(region));
  }
}
