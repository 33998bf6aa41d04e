import { setFlagsFromString } from 'node:v8';
import { runInNewContext } from 'node:vm';

setFlagsFromString('--expose_gc');
const gc = runInNewContext('gc') as () => void;

/** Frees the tensors of forgotten objects now, so that counts of live memory mean what the test does. */
export function collectGarbage(): void {
  gc();
  // A finalizer may have let go of the last reference to another object.
  gc();
}
