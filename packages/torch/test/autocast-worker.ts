import { parentPort, workerData } from 'node:worker_threads';
import { native } from '@mezzo/libtorch';
import { autocast, grad, nn, noGrad, scope, setNumThreads, type Tensor, tensor } from '../src/index.ts';

/** What a test thread is told: `turn` is shared memory that says whose turn it is. */
export interface Task {
  kind: 'state' | 'regions' | 'train';
  turn: SharedArrayBuffer;
  rounds: number;
}

/** Autocast's state on this thread. */
export function threadState() {
  const torch = native();
  return {
    enabled: torch.autocastEnabled('cpu'),
    dtype: torch.autocastDtype('cpu'),
    cache: torch.autocastCacheEnabled(),
    nesting: torch.autocastNesting(),
    gradients: torch.gradEnabled(),
  };
}

/** Between -1 and 1, the same in every thread: LibTorch's default generator belongs to the process. */
const pattern = (rows: number, columns: number, phase: number): Tensor =>
  tensor(
    Float32Array.from({ length: rows * columns }, (_, i) => Math.sin(phase + 1.7 * i)),
    { shape: [rows, columns] },
  );

export interface Trained {
  losses: number[];
  /** The gradient of the weight, of every round in a row. */
  gradients: Float32Array;
}

/** A weight used four times in each region, once without gradients, and changed between the regions. */
export function train(rounds: number): Trained {
  const weight = new nn.Parameter(pattern(24, 24, 0).mul(0.2));
  const losses: number[] = [];
  const gradients = new Float32Array(rounds * 24 * 24);
  for (let i = 0; i < rounds; i++) {
    scope(() => {
      const x = pattern(8, 24, i);
      const loss = autocast({ device: 'cpu' }, () => {
        noGrad(() => x.matmul(weight));
        return x.matmul(weight).matmul(weight).matmul(weight).float().square().mean();
      });
      const [gradient] = grad(loss, [weight]);
      losses.push(loss.item() as number);
      gradients.set(gradient!.toTypedArray() as Float32Array, i * 24 * 24);
      noGrad(() => weight.mul_(0.995));
    });
  }
  return { losses, gradients };
}

/** Opens and leaves regions, which clears the cache of the process each time. */
function openRegions(rounds: number, running: () => boolean): number {
  let opened = 0;
  const weight = new nn.Parameter(pattern(4, 4, 0));
  while (opened < rounds || running()) {
    autocast({ device: 'cpu', dtype: 'float16' }, () => scope(() => void weight.matmul(weight)));
    opened += 1;
  }
  return opened;
}

if (parentPort !== null) {
  setNumThreads(1);
  const { kind, turn, rounds } = workerData as Task;
  const state = new Int32Array(turn);
  const answer = {
    state: threadState,
    train: () => train(rounds),
    regions: () => {
      Atomics.store(state, 0, 1);
      Atomics.notify(state, 0);
      return openRegions(rounds, () => Atomics.load(state, 0) === 1);
    },
  }[kind]();
  parentPort.postMessage(answer);
  // The thread that waits is blocked inside its own region and hears no message.
  Atomics.store(state, 1, 1);
  Atomics.notify(state, 1);
}
