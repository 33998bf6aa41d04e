import { setFlagsFromString } from 'node:v8';
import { runInNewContext } from 'node:vm';

setFlagsFromString('--expose_gc');

/** Frees the tensors of forgotten objects now, so that counts of live memory mean what the test does. */
export const collectGarbage = runInNewContext('gc') as () => void;
