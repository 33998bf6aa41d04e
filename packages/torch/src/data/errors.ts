import { MezzoError } from '@mezzo/libtorch';

/** Wrong use of data sets, samplers and loaders; `code` VALUE, TYPE or INDEX as Python's exception. */
export class DataError extends MezzoError {
  constructor(code: 'VALUE' | 'TYPE' | 'INDEX', message: string, details: { hint?: string } = {}) {
    super(code, message, details);
    this.name = 'DataError';
  }
}
