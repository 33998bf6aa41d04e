import { didYouMean, MezzoError } from '@mezzo/torch';

export type KerasErrorCode =
  /** An id, option or layer name that is not known. */
  | 'UNKNOWN_ID'
  /** An option whose value makes no sense. */
  | 'BAD_OPTION'
  /** Tensors or data whose shape does not fit. */
  | 'SHAPE_MISMATCH'
  /** Data that is not finite, empty or of unequal length. */
  | 'BAD_DATA'
  /** A file of weights that is not of this model. */
  | 'BAD_WEIGHTS'
  /** Something is used before it is built or compiled. */
  | 'NOT_READY';

/** An error of the Keras face. */
export class KerasError extends MezzoError {
  declare readonly code: KerasErrorCode;

  constructor(code: KerasErrorCode, message: string, hint?: string) {
    super(code, message, { hint });
    this.name = 'KerasError';
  }
}

/** `HeNormal`, `heNormal` and `he_normal` name the same thing, as in Keras. */
export const snakeCase = (name: string): string =>
  name
    .replace(/\W+/g, '')
    .replace(/(.)([A-Z][a-z]+)/g, '$1_$2')
    .replace(/([a-z])([A-Z])/g, '$1_$2')
    .toLowerCase();

/**
 * The entry of `table` for an id in any spelling.
 * @throws KerasError UNKNOWN_ID offering the nearest ids
 */
export function lookUp<T>(kind: string, id: string, table: Readonly<Record<string, T>>): T {
  for (const key of [id, snakeCase(id)]) if (Object.hasOwn(table, key)) return table[key]!;
  const names = Object.keys(table);
  throw new KerasError(
    'UNKNOWN_ID',
    `unknown ${kind} '${id}'${didYouMean(snakeCase(id), names)}`,
    `known: ${names.join(', ')}`,
  );
}

/**
 * Refuses options that nothing reads, which are misspelled ones.
 * @throws KerasError UNKNOWN_ID offering the nearest names
 */
export function checkOptions(owner: string, options: object, known: readonly string[]): void {
  for (const name of Object.keys(options)) {
    if (known.includes(name)) continue;
    throw new KerasError('UNKNOWN_ID', `${owner}: unknown option '${name}'${didYouMean(name, known)}`);
  }
}
