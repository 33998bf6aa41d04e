import { ConfigError } from '../config/errors.ts';
import type { TrainSettings } from '../config/index.ts';

type Asked = Pick<TrainSettings, 'amp' | 'autopsy' | 'batch' | 'device' | 'scaler' | 'sync_bn'>;

/**
 * Checks that so many processes can share a training with these options.
 * @throws {ConfigError} BAD_OPTION, UNSUPPORTED_OPTION
 */
export function requireShareable(
  { amp, autopsy, batch, device, scaler, sync_bn }: Asked,
  ranks: number,
): void {
  if (ranks === 1) return;
  const refused = (option: string, message: string, hint: string) => {
    throw new ConfigError('UNSUPPORTED_OPTION', `${message} (ranks=${ranks})`, { option, hint });
  };
  if (device !== null && device !== 'cpu') {
    refused(
      'device',
      `device=${device}: processes that train together exchange gradients on the CPU only: between GPUs that takes NCCL, which Mezzo is not built with`,
      'device=cpu with ranks, or one GPU without',
    );
  }
  if (batch < 1) {
    refused(
      'batch',
      `batch=${batch}: the memory that is free on each rank may ask for different batches`,
      'give batch as a number: that of all ranks together',
    );
  }
  if (amp === 'auto' || scaler === 'computed') {
    const option = amp === 'auto' ? 'amp' : 'scaler';
    refused(
      option,
      `${option}=${amp === 'auto' ? amp : scaler}: each rank would measure other pictures, and plans and scales would differ`,
      'amp=true, fp16, bf16 or fp32 decide alike on all ranks',
    );
  }
  if (autopsy && sync_bn) {
    refused(
      'autopsy',
      'autopsy=true with sync_bn=true: one rank would replay a step that all have to take',
      'leave one of them out',
    );
  }
  if (batch % ranks === 0) return;
  const below = batch - (batch % ranks);
  throw new ConfigError('BAD_OPTION', `batch=${batch} cannot be divided among ranks=${ranks}`, {
    option: 'batch',
    hint:
      'batch is the number of pictures of all ranks together: ' +
      `${below > 0 ? `batch=${below} or ` : ''}batch=${below + ranks}`,
  });
}

/**
 * Checks that a training of so many ranks, if that was asked for, has as many processes.
 * @throws {ConfigError} BAD_OPTION
 */
export function requireRanks({ ranks }: Pick<TrainSettings, 'ranks'>, started: number): void {
  if (ranks === null || ranks === started) return;
  throw new ConfigError(
    'BAD_OPTION',
    `ranks=${ranks}, and ${started === 1 ? 'this process is alone' : `${started} processes were started`}`,
    {
      option: 'ranks',
      hint: 'mezzo train starts them; a launcher, or distributed.initProcessGroup in a program, decides by itself',
    },
  );
}
