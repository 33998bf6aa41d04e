/** One rank of `mezzo train` in a process of its own: its order is its argument, and it tells its supervisor. */
import { YOLO } from '@mezzo/detect';
import { MezzoError } from '@mezzo/libtorch/errors';
import { launchedPlace } from './launchers.ts';
import type { Order, RankFailure, RankMessage } from './message.ts';
import { trainRank } from './train-rank.ts';

const { model, options, timeout } = JSON.parse(process.argv[2]!) as Order;
const controller = new AbortController();

const stop = () => {
  if (controller.signal.aborted) process.exit(130);
  controller.abort();
};
process.on('SIGINT', stop);
process.on('SIGTERM', stop);
// Without a supervisor nobody would see how it goes on: what there is is saved.
process.on('disconnect', () => controller.abort());

function tell(message: RankMessage): Promise<void> {
  // A supervisor that is gone hears nothing; `disconnect` says so.
  return new Promise((resolve) => {
    if (process.connected) process.send!(message, () => resolve());
    else resolve();
  });
}

function described(error: unknown): RankFailure {
  if (error instanceof MezzoError) return { code: error.code, message: error.message, hint: error.hint };
  const { message, stack } = error instanceof Error ? error : { message: String(error), stack: undefined };
  return { code: 'INTERNAL', message, stack };
}

let exitCode = 0;
try {
  await trainRank(launchedPlace(process.env)!, {
    model: await YOLO.load(model),
    options,
    timeout,
    signal: controller.signal,
    onEvent: (event) => void tell({ event }),
  });
  await tell({ done: true });
} catch (error) {
  exitCode = 1;
  await tell({ failure: described(error) });
}
// LibTorch's threads that served the others may still be there.
process.exit(exitCode);
