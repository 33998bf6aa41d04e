import { noGrad } from '../autograd/modes.ts';
import { refuseAsync, refusePromise } from '../autograd/synchronous.ts';
import { DistributedDataParallel } from '../distributed/data-parallel.ts';
import { clipGradNorm_ } from '../nn/clip-grad.ts';
import type { Module } from '../nn/module.ts';
import type { Optimizer } from '../optim/optimizer.ts';
import { insert, type RemovableHandle } from '../removable-handle.ts';
import { full, ones, tensor } from '../tensor/creation.ts';
import { TensorHandle } from '../tensor/handle.ts';
import { keep, scope } from '../tensor/scope.ts';
import type { Tensor } from '../tensor/tensor.ts';
import { BufferWatch } from './buffer-watch.ts';
import { byDevice } from './by-device.ts';
import { AmpError } from './errors.ts';
import type { GradScaler } from './grad-scaler.ts';
import { magnitudes } from './magnitude.ts';
import { StateSnapshot } from './state-snapshot.ts';
import { ParameterNames, WindowGradients } from './window-gradients.ts';
import { rankEvidence } from './window-ranks.ts';
import { largestOf, resultOf, type StepResult, UNDECIDED, type WindowResult } from './window-result.ts';
import { type Findings, WindowVerdict } from './window-verdict.ts';

export interface TrainingStepOptions {
  /**
   * Its buffers are part of the transaction, its names are those of the culprits. With a DistributedDataParallel
   * all ranks apply a window or roll it back; the model is the one that it wraps.
   */
  model: Module;
  /** They step together or not at all. */
  optimizers: Optimizer | readonly Optimizer[];
  /** Left out or disabled: the same transaction without a loss scale. */
  scaler?: GradScaler;
  /** Called after every applied window. `update` reads the model's tensors where they are. */
  ema?: { update(): void };
  /** Moved on after every applied window: schedules that count applied steps. */
  schedulers?: readonly { step(): void }[];
  /** Largest L2 norm of all gradients together; left out or 0 does not clip. */
  clip?: number;
  /** Batches of a window. Default 1. */
  accumulate?: number;
  /** Further tensors that a rolled back window must not have changed, such as sums of losses. */
  state?: readonly Tensor[];
  /**
   * Leave the verdict on the device and read it one window later, so that the host never waits. Needs optimizers
   * that skip on the device (`fused: true`) and a scale that moves there. Default: on CUDA where that is so.
   */
  deferred?: boolean;
}

/** An open window, for a checkpoint in its middle; the gradients so far are in the parameters. */
export interface OpenWindow {
  /** Largest |loss| of each batch so far, as float32 bits. */
  losses: number[];
  /** What it would roll back to: buffers by name, and `state` in its order. */
  buffers: Record<string, Tensor>;
  state: Tensor[];
}

/** The gradients of a window that is to be decided, and what the decision goes by. */
interface Concluded {
  readonly parameters: readonly Tensor[];
  readonly verdict: WindowVerdict;
  readonly device: string;
}

/**
 * One training step as a transaction. It spans an accumulation window: forward, loss and scaled backward of
 * `accumulate` batches, then unscaling with a check of every gradient, clipping, and either all of it (optimizers,
 * average, schedulers) or nothing. When a gradient, a loss or a floating-point buffer is not finite, then weights,
 * optimizer state, buffers, average, schedulers and `state` are bitwise as before the window, the gradients are
 * gone, and the loss scale backs off.
 *
 * Gradients belong to this object: they are dropped after every window.
 */
export class TrainingStep {
  /** Batches of a window; a change counts from the next batch on. */
  accumulate: number;
  /** Windows that ended. */
  windows = 0;
  private readonly optimizers: readonly Optimizer[];
  private readonly scaler: GradScaler | undefined;
  private readonly ema: { update(): void } | undefined;
  private readonly schedulers: readonly { step(): void }[];
  private readonly clip: number;
  private readonly state: readonly Tensor[];
  private readonly wantsDeferred: boolean | undefined;
  private readonly parallel: DistributedDataParallel | null;
  private readonly names: ParameterNames;
  private readonly buffers: BufferWatch;
  /** What the buffers and `state` were when the window began. */
  private readonly buffersBefore = new StateSnapshot();
  private readonly stateBefore = new StateSnapshot();
  private readonly windowListeners: ((result: WindowResult) => void)[] = [];
  private readonly gradientListeners: (() => void)[] = [];
  private readonly backwardListeners: (() => void)[] = [];
  /** Parameters that were stepped and need no optimizer state. */
  private readonly stateless = new WeakSet<Tensor>();
  /** Largest |loss| of each batch of the open window, as bits. */
  private losses: Tensor[] = [];
  /** A window whose outcome the host has not read. */
  private pending: { window: number; verdict: WindowVerdict } | undefined;

  /** @throws AmpError VALUE for an optimizer that unscales by itself, or `deferred` where that cannot be */
  constructor(options: TrainingStepOptions) {
    const { model, optimizers, scaler, ema, schedulers = [], clip = 0, accumulate = 1, state = [] } = options;
    this.optimizers = [optimizers].flat();
    this.scaler = scaler?.isEnabled() === true ? scaler : undefined;
    this.ema = ema;
    this.schedulers = schedulers;
    this.clip = clip;
    this.accumulate = accumulate;
    this.state = state;
    this.wantsDeferred = options.deferred;
    this.parallel = model instanceof DistributedDataParallel ? model : null;
    this.parallel?.measureOwn();
    this.names = new ParameterNames(this.parallel?.module ?? model, this.optimizers);
    this.buffers = new BufferWatch(this.parallel?.module ?? model);
    if (this.parallel) this.scaler?.join(this.parallel.processGroup);
    if (options.deferred === true && !this.canDefer()) {
      throw new AmpError(
        'VALUE',
        'TrainingStep: deferred needs optimizers and a loss scale that decide on the device',
        {
          hint: "make the optimizers with fused: true and keep the scaler's default rule, or leave deferred out",
        },
      );
    }
  }

  /**
   * Runs one batch: `fn` does the forward pass (in autocast) and returns the loss, one number; backward follows,
   * and at the end of the window everything else. Tensors made in `fn` are freed.
   * @param closes whether this batch ends its window; by default the `accumulate`-th does
   * @throws TorchError ASYNC_REGION for an async `fn`; AmpError VALUE for a loss that is not one number or fp16
   *   gradients under a scaler, ASSERTION when no parameter has a gradient; ScaleFloorError. The open window is
   *   rolled back first, whatever is thrown.
   */
  run(fn: () => Tensor, { closes }: { closes?: boolean } = {}): StepResult {
    refuseAsync('TrainingStep.run', fn);
    return scope(() => {
      if (this.losses.length === 0) {
        this.buffers.refresh();
        this.buffersBefore.take(this.buffers.tensors);
        this.stateBefore.take(this.state);
      }
      const concluded = this.orRollBack(() => this.attempt(fn, closes));
      if (concluded === null) return { complete: false, ...UNDECIDED };
      this.windows += 1;
      return this.defers(concluded) ? this.decideThere(concluded) : this.decideHere(concluded);
    });
  }

  /** Tells what became of each window, as soon as the host knows; windows come in order. */
  onWindow(listener: (result: WindowResult) => void): RemovableHandle {
    return insert(this.windowListeners, listener);
  }

  /** Calls `listener` at the end of each window, gradients unscaled and not yet clipped; it may change them. */
  onGradients(listener: () => void): RemovableHandle {
    return insert(this.gradientListeners, listener);
  }

  /** Calls `listener` after the backward pass of each batch, before anything is done with the gradients. */
  onBackward(listener: () => void): RemovableHandle {
    return insert(this.backwardListeners, listener);
  }

  /** Brings a window whose verdict is still on the device to its end, and waits for it. */
  flush(): WindowResult | null {
    const { pending } = this;
    if (pending === undefined) return null;
    this.pending = undefined;
    const findings = pending.verdict.read();
    const commit = () => this.commit();
    // The open window has changed the buffers since; the average is to see them as the decided one left them.
    if (findings.finite && this.losses.length > 0) this.buffersBefore.during(this.buffers.tensors, commit);
    else if (findings.finite) commit();
    return this.tell(resultOf(pending.window, findings));
  }

  /** Tells that the caller has set `state` anew: an open window goes back to these values. */
  noteState(): void {
    if (this.losses.length > 0) this.stateBefore.take(this.state);
  }

  /** The open window for a checkpoint in its middle, null between windows. HOST SYNC. Call `flush` before. */
  openWindow(): OpenWindow | null {
    if (this.losses.length === 0) return null;
    const { values } = this.buffersBefore;
    return {
      losses: this.losses.map((bits) => Number(bits.item())),
      buffers: Object.fromEntries(this.buffers.names.map((name, i) => [name, values[i]!])),
      state: this.stateBefore.values,
    };
  }

  /**
   * Goes on in the middle of a window; parameters, gradients, buffers and `state` have been restored before.
   * @throws AmpError VALUE when the window is not of this model and state
   */
  resumeWindow({ losses, buffers, state }: OpenWindow): void {
    scope(() => {
      this.buffers.refresh();
      this.buffersBefore.set(
        this.buffers.tensors,
        this.buffers.names.map((name) => buffers[name]),
      );
      this.stateBefore.set(this.state, state);
      this.losses = losses.map((bits) => keep(tensor([bits], { dtype: 'int32' })));
    });
  }

  // --- the window ----------------------------------------------------------------------------------------

  private restore(): void {
    this.buffersBefore.restore(this.buffers.tensors);
    this.stateBefore.restore(this.state);
  }

  /** What `fn` gives; rolls the window back when it throws. */
  private orRollBack<T>(fn: () => T): T {
    try {
      return fn();
    } catch (error) {
      this.restore();
      this.endWindow();
      throw error;
    }
  }

  /** One batch, and at the end of the window all that comes before the decision. */
  private attempt(fn: () => Tensor, closes: boolean | undefined): Concluded | null {
    const loss = fn();
    refusePromise('TrainingStep.run', loss);
    requireOneNumber(loss);
    (this.scaler === undefined ? loss : this.scaler.scale(loss)).backward();
    for (const listener of this.backwardListeners) listener();
    this.losses.push(noGrad(() => keep(magnitudes([loss.detach()]))));
    return (closes ?? this.losses.length >= this.accumulate) ? this.conclude(loss.device) : null;
  }

  private conclude(device: string): Concluded {
    const { scaler } = this;
    const gradients = new WindowGradients(this.optimizers, scaler !== undefined, this.names);
    const largest = gradients.unscale_(scaler?.inverseScale('TrainingStep.run') ?? null);
    for (const listener of this.gradientListeners) listener();
    const changed = this.gradientListeners.length > 0 ? gradients.measure() : [];
    const norm = this.clip > 0 ? clipGradNorm_(gradients.parameters, this.clip) : null;
    const buffers = byDevice(this.buffers.judged);
    const verdict = new WindowVerdict(
      {
        names: this.names.of(gradients.parameters),
        gradients: largest,
        changed,
        bufferNames: buffers.flatMap((group) => group.map(([name]) => name)),
        buffers: noGrad(() => buffers.map((group) => magnitudes(group.map(([, buffer]) => buffer)))),
        losses: this.losses,
        norm,
        scale: scaler?.scale(ones([], { device })) ?? null,
        ranks: this.parallel && rankEvidence(this.parallel, gradients.parameters),
      },
      device,
    );
    // The window before must have had its average and its schedules before the weights move on.
    this.flush();
    return { parameters: gradients.parameters, verdict, device };
  }

  private endWindow(): void {
    for (const optimizer of this.optimizers) optimizer.zeroGrad();
    for (const bits of this.losses) bits.dispose();
    this.losses = [];
  }

  private commit(): void {
    this.ema?.update();
    for (const scheduler of this.schedulers) scheduler.step();
  }

  private tell(result: WindowResult): WindowResult {
    for (const listener of this.windowListeners) listener(result);
    return result;
  }

  // --- decided by the host -------------------------------------------------------------------------------

  private decideHere({ parameters, verdict, device }: Concluded): StepResult {
    const findings = this.orRollBack(() => verdict.read());
    const { finite } = findings;
    if (finite) this.stepAll(parameters);
    else this.restore();
    this.endWindow();
    if (finite) this.commit();
    const result = resultOf(this.windows, findings);
    try {
      this.updateScale(parameters, findings, device);
    } finally {
      this.tell(result);
    }
    const { applied, scale, norm, culprits, culpritsByRank, largest } = result;
    return { complete: true, applied, scale, norm, culprits, culpritsByRank, largest };
  }

  private stepAll(parameters: readonly Tensor[]): void {
    for (const optimizer of this.optimizers) optimizer.step();
    if (this.wantsDeferred === false) return;
    for (const parameter of parameters) if (!this.hasState(parameter)) this.stateless.add(parameter);
  }

  private updateScale(parameters: readonly Tensor[], findings: Findings, device: string): void {
    const { scaler } = this;
    if (scaler === undefined) return;
    const { finite, beforeMean, culprits, culpritsByRank } = findings;
    const ranks = culpritsByRank.map(({ rank }) => rank);
    if (!finite) scaler.noteCulprits(culprits, ranks);
    else if (scaler.computed) {
      // Each rank's own are what fp16 has to hold, and they may be larger than their mean.
      const half = beforeMean.filter((_, i) => scaler.producesHalf(parameters[i]!));
      scaler.noteLargest(largestOf(half));
    }
    for (const optimizer of this.optimizers) {
      // A skip is in order: a schedule that moves on need not complain of it.
      optimizer.stepCalled = true;
      scaler.settle(optimizer, full([], finite ? 0 : 1, { device }), !finite);
    }
    scaler.update();
  }

  // --- decided by the device -----------------------------------------------------------------------------

  /** Optimizer state must not come into being by a step that the device may leave out. */
  private defers({ parameters, device }: Concluded): boolean {
    const wanted = this.wantsDeferred ?? device !== 'cpu';
    return (
      wanted &&
      this.canDefer() &&
      parameters.every((parameter) => this.stateless.has(parameter) || this.hasState(parameter))
    );
  }

  private canDefer(): boolean {
    return (
      this.scaler?.advancesOnHost !== true &&
      this.optimizers.every((optimizer) => optimizer.stepSupportsAmpScaling)
    );
  }

  private hasState(parameter: Tensor): boolean {
    return this.optimizers.some((optimizer) => optimizer.state.has(parameter));
  }

  private decideThere({ verdict }: Concluded): StepResult {
    const broken = verdict.broken();
    const foundInf = broken.float();
    for (const optimizer of this.optimizers) {
      optimizer.foundInf = foundInf;
      try {
        optimizer.step();
      } finally {
        delete optimizer.foundInf;
      }
    }
    this.buffersBefore.restoreWhere(broken, this.buffers.tensors);
    this.stateBefore.restoreWhere(broken, this.state);
    this.endWindow();
    verdict.send();
    this.pending = { window: this.windows, verdict };
    if (this.scaler !== undefined) {
      for (const optimizer of this.optimizers) this.scaler.settle(optimizer, foundInf.clone(), null);
      this.scaler.update();
    }
    return { complete: true, ...UNDECIDED };
  }
}

/** @throws AmpError VALUE for anything but a tensor of one number */
function requireOneNumber(loss: unknown): asserts loss is Tensor {
  if (!(loss instanceof TensorHandle)) {
    throw new AmpError(
      'VALUE',
      `TrainingStep.run: the function must return the loss, a tensor; it gave ${typeof loss}`,
    );
  }
  if (loss.numel() === 1) return;
  throw new AmpError(
    'VALUE',
    `TrainingStep.run: the loss must be one number, not a tensor of shape [${loss.shape.join(', ')}]`,
    {
      hint: 'reduce it: loss.mean() or loss.sum()',
    },
  );
}
