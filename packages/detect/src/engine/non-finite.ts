import { MezzoError } from '@mezzo/torch';
import type { RecoveryEvent } from './event.ts';

/** So many windows in a row that no lower loss scale could save end a run. */
const LIMIT = 50;
const NAMED = 5;

const HINT =
  'the weights are as they were before; lower the learning rate (lr0), look at the pictures and labels of the ' +
  'last batches, or train with amp=fp32 to see whether the precision is the cause';

/** No step can be made any more, with any loss scale. `culprits` are those of the last one. */
export class NonFiniteError extends MezzoError {
  readonly culprits: readonly string[];
  /** Pictures of the last batches. */
  readonly files: readonly string[];

  constructor(what: string, culprits: readonly string[], files: readonly string[] = []) {
    super('NON_FINITE', what, { hint: HINT });
    this.name = 'NonFiniteError';
    this.culprits = culprits;
    this.files = files;
  }

  /** The same, after all that was tried. @param obstacle why nothing more can be */
  afterAll(tried: readonly RecoveryEvent[], obstacle?: string): NonFiniteError {
    if (tried.length === 0 && obstacle === undefined) return this;
    const lines = [
      ...(tried.length === 0 ? [] : [`tried before, in vain:`, ...tried.map(({ report }) => `  ${report}`)]),
      ...(obstacle === undefined ? [] : [obstacle]),
    ];
    return new NonFiniteError([this.message, ...lines].join('\n'), this.culprits, this.files);
  }
}

/**
 * What was not finite, in words: 'non-finite gradients in model.0.conv, model.1.conv and 3 more'.
 * @param streams of a network of several: those that the culprits belong to
 */
export function causeOf(culprits: readonly string[], streams: readonly string[] = []): string {
  if (culprits.length === 0) return 'non-finite gradients';
  if (culprits.length === 1 && culprits[0] === 'loss') return 'the loss was not finite';
  const where =
    streams.length === 0 ? '' : ` (stream${streams.length === 1 ? '' : 's'} ${streams.join(', ')})`;
  return `non-finite gradients in ${named(culprits)}${where}`;
}

function named(culprits: readonly string[]): string {
  const layers = layersOf(culprits);
  const more = layers.length > NAMED ? ` and ${layers.length - NAMED} more` : '';
  return `${layers.slice(0, NAMED).join(', ')}${more}`;
}

/** The layers of parameters and buffers, each once. */
const layersOf = (names: readonly string[]) => [
  ...new Set(names.map((name) => name.replace(/\.[^.]+$/, ''))),
];

/**
 * Ends a run in which no step is finite any more, instead of looping on in silence.
 * @param windows rolled back in a row without a loss scale above 1
 * @param files pictures of the last of them
 * @throws NonFiniteError
 */
export function requireHope(
  windows: number,
  culprits: readonly string[],
  files: readonly string[] = [],
): void {
  if (windows < LIMIT) return;
  throw new NonFiniteError(`${windows} steps in a row were left out: ${causeOf(culprits)}`, culprits, files);
}

/**
 * Ends an epoch that left something non-finite behind.
 * @param state names of tensors that are, of the weights or their average
 * @param losses means of the epoch
 * @throws NonFiniteError
 */
export function requireFinite(
  state: readonly string[],
  losses: readonly number[],
  files: readonly string[],
): void {
  if (state.length > 0) {
    throw new NonFiniteError(`the weights are not finite in ${named(state)}`, state, files);
  }
  if (!losses.every(Number.isFinite)) throw new NonFiniteError('the loss is not finite', ['loss'], files);
}
