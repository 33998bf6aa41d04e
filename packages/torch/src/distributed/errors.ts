import { MezzoError } from '@mezzo/libtorch';

/**
 * What goes wrong between processes. `code`: DISTRIBUTED_TIMEOUT (another rank did not come in time),
 * DISTRIBUTED_PEER_LOST (its connection broke), PORT_IN_USE, DISTRIBUTED (anything else of a group), VALUE.
 * Collectives that fail later throw TorchErrors of the same codes.
 */
export class DistributedError extends MezzoError {
  constructor(
    code: 'DISTRIBUTED_TIMEOUT' | 'DISTRIBUTED_PEER_LOST' | 'PORT_IN_USE' | 'DISTRIBUTED' | 'VALUE',
    message: string,
    details: { hint?: string; cause?: unknown } = {},
  ) {
    super(code, message, details);
    this.name = 'DistributedError';
  }
}
