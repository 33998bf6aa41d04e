import { MezzoError } from '@mezzo/torch';

/** So many windows in a row that no lower loss scale could save end a run. */
const LIMIT = 50;
const NAMED = 5;

/** No step can be made any more, with any loss scale. `culprits` are those of the last one. */
export class NonFiniteError extends MezzoError {
  readonly culprits: readonly string[];

  constructor(steps: number, culprits: readonly string[]) {
    super('NON_FINITE', `${steps} steps in a row were left out: ${causeOf(culprits)}`, {
      hint:
        'the weights are as they were before; lower the learning rate (lr0), look at the pictures and labels of the ' +
        'last batches, or train with amp=fp32 to see whether the precision is the cause',
    });
    this.name = 'NonFiniteError';
    this.culprits = culprits;
  }
}

/** What was not finite, in words: 'non-finite gradients in model.0.conv, model.1.conv and 3 more'. */
export function causeOf(culprits: readonly string[]): string {
  if (culprits.length === 0) return 'non-finite gradients';
  if (culprits.length === 1 && culprits[0] === 'loss') return 'the loss was not finite';
  const layers = layersOf(culprits);
  const more = layers.length > NAMED ? ` and ${layers.length - NAMED} more` : '';
  return `non-finite gradients in ${layers.slice(0, NAMED).join(', ')}${more}`;
}

/** The layers of parameters and buffers, each once. */
const layersOf = (names: readonly string[]) => [
  ...new Set(names.map((name) => name.replace(/\.[^.]+$/, ''))),
];

/**
 * Ends a run in which no step is finite any more, instead of looping on in silence.
 * @param windows rolled back in a row without a loss scale above 1
 * @throws NonFiniteError
 */
export function requireHope(windows: number, culprits: readonly string[]): void {
  if (windows >= LIMIT) throw new NonFiniteError(windows, culprits);
}
