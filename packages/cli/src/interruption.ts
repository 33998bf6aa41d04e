import type { Terminal } from './terminal.ts';

/**
 * Lets `work` be stopped: the first SIGINT or SIGTERM aborts the signal, so that the work can save and end, and says
 * `what` happens; the second ends the process at once with 130.
 */
export async function interruptible<T>(
  terminal: Terminal,
  work: (signal: AbortSignal) => Promise<T>,
  what = 'Stopping: saving a checkpoint first; once more stops at once.',
): Promise<T> {
  const controller = new AbortController();
  const stop = () => {
    if (controller.signal.aborted) process.exit(130);
    controller.abort();
    terminal.note(what);
  };
  process.on('SIGINT', stop);
  process.on('SIGTERM', stop);
  try {
    return await work(controller.signal);
  } finally {
    process.off('SIGINT', stop);
    process.off('SIGTERM', stop);
  }
}
