import { native, TorchError } from '@mezzo/libtorch';
import { type AutocastState, autocastState, withAutocastState } from '../amp/restore.ts';
import { type RngStates, rngStates, withRngStates } from '../random/state.ts';
import { adoptAll } from '../tensor/lifetime.ts';
import { scope } from '../tensor/scope.ts';
import { Tensor } from '../tensor/tensor.ts';
import { mapTensors, tensorsIn } from '../tensor/tree.ts';
import { warn } from '../warning.ts';
import { type Frame, handlesOf, nodeCallback } from './callback.ts';
import { enableGrad, isGradEnabled } from './modes.ts';
import { refuseAsync, refusePromise } from './synchronous.ts';

/**
 * `fn(...inputs)` without keeping what its backward needs: that is computed again when backward comes to it
 * (torch.utils.checkpoint). Memory for time: about one more forward pass of `fn`.
 *
 * `fn` runs again with the same random numbers and the same autocast settings, and must do the same. All that
 * it uses gets its gradients: inputs, tensors inside arrays or objects among them, and parameters that it
 * merely closes over. `backward`, `grad` and higher derivatives all work. Tensors made outside that `fn` closes
 * over must live until backward; inputs are kept. What forward changes besides (BatchNorm's running averages)
 * changes twice, as in PyTorch.
 * @throws TorchError ASYNC_REGION when `fn` is async; in backward, TORCH when the second run differs
 */
export function checkpoint<A extends unknown[], R>(fn: (...inputs: A) => R, ...inputs: A): R {
  refuseAsync('checkpoint', fn);
  if (!isGradEnabled()) return fn(...inputs);
  return scope(() => {
    const segment = new Segment(fn, inputs);
    const output = segment.run(inputs);
    const outputs = [...new Set(tensorsIn(output).filter(({ requiresGrad }) => requiresGrad))];
    if (outputs.length === 0) {
      warn('CHECKPOINT_WITHOUT_GRAD', 'None of the inputs have requires_grad=True. Gradients will be None');
      return output;
    }
    const handles = native().checkpointGraph(
      recomputing(segment),
      handlesOf(outputs),
      segment.start,
      handlesOf(tensorsIn(inputs)),
    );
    const replaced = adoptAll(handles) as Tensor[];
    const byOutput = new Map(outputs.map((tensor, i) => [tensor, replaced[i]!]));
    return mapTensors(output, (tensor) => byOutput.get(tensor) ?? tensor);
  });
}

/** What the node calls. Made apart from `checkpoint`: a closure there would keep inputs and results alive with the node. */
const recomputing = <A extends unknown[], R>(segment: Segment<A, R>): ((frame: Frame) => void) =>
  nodeCallback('checkpoint', (frame) => segment.backward(frame));

/** A layer, or a function of one tensor. */
export type Step = ((input: Tensor) => Tensor) | { forward(input: Tensor): Tensor };

/**
 * Runs `steps` (a Sequential, for example) one after the other, as `segments` parts of equal length of which
 * all but the last are checkpoints (torch.utils.checkpoint_sequential).
 * @throws TorchError BAD_ARGUMENT unless 1 ≤ segments ≤ number of steps
 */
export function checkpointSequential(steps: Iterable<Step>, segments: number, input: Tensor): Tensor {
  const list = [...steps];
  if (!Number.isInteger(segments) || segments < 1 || segments > list.length) {
    throw new TorchError(
      'BAD_ARGUMENT',
      `checkpointSequential: ${list.length} steps cannot be cut into ${segments} segments`,
    );
  }
  const size = Math.floor(list.length / segments);
  const runFrom = (start: number, end: number) => (given: Tensor) =>
    list
      .slice(start, end)
      .reduce((x, step) => (typeof step === 'function' ? step(x) : step.forward(x)), given);
  const last = size * (segments - 1);
  let output = input;
  for (let start = 0; start < last; start += size) {
    output = checkpoint(runFrom(start, start + size), output);
  }
  return runFrom(last, list.length)(output);
}

/** A function with the conditions of its first run. */
class Segment<A extends unknown[], R> {
  /** Where the graph stood before the last run: what is older lies outside the segment. */
  start = 0;
  private readonly fn: (...inputs: A) => R;
  /** The inputs with places for the tensors, which the node keeps. */
  private readonly inputs: A;
  private readonly rng: RngStates = rngStates();
  private readonly autocast: AutocastState = autocastState();

  constructor(fn: (...inputs: A) => R, inputs: A) {
    this.fn = fn;
    this.inputs = mapTensors(inputs, () => new Tensor(0));
  }

  run(inputs: A): R {
    const torch = native();
    // A weight's cast from before the segment would lie outside its graph, and would be made anew when it
    // runs again: the gradient would not find its way.
    if (torch.autocastNesting() > 0) torch.clearAutocastCache();
    this.start = torch.graphPosition();
    const output = this.fn(...inputs);
    refusePromise('checkpoint', output);
    return output;
  }

  backward(frame: Frame): (Tensor | null)[] {
    const torch = native();
    const saved = adoptAll(torch.frameSaved(frame)) as Tensor[];
    let next = 0;
    const inputs = mapTensors(this.inputs, () => saved[next++]!);
    const output = withRngStates(this.rng, () =>
      withAutocastState(this.autocast, () => enableGrad(() => this.run(inputs))),
    );
    const outputs = [...new Set(tensorsIn(output).filter(({ requiresGrad }) => requiresGrad))];
    return adoptAll(torch.checkpointGradients(frame, handlesOf(outputs), this.start));
  }
}
