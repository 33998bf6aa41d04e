import { amp, type nn, noGrad, scope, slice, Tensor } from '@mezzo/torch';
import { BINS, packShares } from './exponents.ts';
import { KINDS, type Kind, Recording } from './recording.ts';

export interface FlightRecorderOptions {
  model: nn.Module;
  /** The low-precision format that the run computes in: its limits are drawn. */
  dtype: string;
  /** A sample every so many optimizer steps, and at steps 2, 4, 8, … before; default 32. */
  every?: number;
  /** Samples kept; default 96. Older ones are thinned out. */
  capacity?: number;
  /** The part of the model that a layer belongs to, for the tables; null: none. */
  partOf?: (layer: string) => string | null;
  /** The recording of a run that is resumed. */
  recording?: Recording;
}

/** What is known of a step when it has ended. */
export interface RecordedWindow {
  /** Optimizer step of the run, from 1. */
  window: number;
  scale: number | null;
  applied: boolean | null;
}

interface Layer {
  readonly name: string;
  readonly module: nn.Module;
  readonly parameters: readonly Tensor[];
}

const BIASED_EXPONENTS = 256;

/**
 * Of an activation every so many values are counted: enough for a histogram, at a fraction of the cost. A prime, so that
 * it meets all channels of a channels_last tensor.
 */
const ACTIVATION_STRIDE = 17;

/**
 * Samples exponent histograms of every layer's weights, output activations and gradients now and then while a model
 * trains. A layer is a module with parameters of its own. Between samples it costs nothing.
 *
 * A sample takes three calls: `begin` before the forward pass, `gradients` after they are unscaled and before they
 * are dropped, `end` after the step.
 */
export class FlightRecorder {
  readonly recording: Recording;
  private readonly layers: readonly Layer[];
  private readonly every: number;
  private hooks: { remove(): void }[] = [];
  private counts: Float64Array | null = null;

  constructor({ model, dtype, every = 32, capacity, partOf = () => null, recording }: FlightRecorderOptions) {
    this.layers = layersOf(model);
    this.every = every;
    const names = this.layers.map(({ name }) => name);
    const fits = recording !== undefined && recording.layers.join('\n') === names.join('\n');
    this.recording = fits ? recording : new Recording(dtype, names, capacity, names.map(partOf));
  }

  /** Starts a sample when this step (from 1) is due; returns whether it is. */
  begin(window: number): boolean {
    if (!this.due(window)) return false;
    this.stop();
    const counts = new Float64Array(this.layers.length * KINDS.length * BIASED_EXPONENTS);
    this.counts = counts;
    this.layers.forEach(({ module }, layer) => {
      const hook = (_module: unknown, _inputs: unknown, output: unknown) => {
        if (output instanceof Tensor) this.count('activations', [layer], [sampled(output)]);
      };
      this.hooks.push(module.registerForwardHook(hook, { fused: true }));
    });
    return true;
  }

  /** Counts weights and gradients as they are now: unscaled, before the step. Does nothing between samples. */
  gradients(): void {
    if (this.hooks.length === 0) return;
    this.unhook();
    scope(() => {
      for (const kind of ['weights', 'gradients'] as const) {
        const owners: number[] = [];
        const tensors: Tensor[] = [];
        this.layers.forEach(({ parameters }, layer) => {
          for (const parameter of parameters) {
            const tensor = kind === 'weights' ? parameter.detach() : parameter.grad;
            if (tensor === null) continue;
            owners.push(layer);
            tensors.push(tensor);
          }
        });
        this.count(kind, owners, tensors);
      }
    });
  }

  /** Ends the sample, if there is one in progress. It may come later than the next step's `begin`. */
  end({ window, scale, applied }: RecordedWindow): void {
    const { counts } = this;
    if (counts === null) return;
    this.stop();
    const bins = new Uint8Array(this.recording.bytesPerSample);
    for (let row = 0; row < this.layers.length * KINDS.length; row++) {
      packShares(
        counts.subarray(row * BIASED_EXPONENTS, (row + 1) * BIASED_EXPONENTS),
        bins.subarray(row * BINS, (row + 1) * BINS),
      );
    }
    this.recording.add({ window, scale, skipped: applied === false, bins });
  }

  /** Drops a sample in progress and leaves the model as it was. */
  stop(): void {
    this.unhook();
    this.counts = null;
  }

  /** The start of a run, where most moves, is sampled more densely. */
  private due(window: number): boolean {
    return (window - 1) % this.every === 0 || (window < this.every && Number.isInteger(Math.log2(window)));
  }

  private unhook(): void {
    for (const hook of this.hooks) hook.remove();
    this.hooks = [];
  }

  private count(kind: Kind, owners: readonly number[], tensors: readonly Tensor[]): void {
    const { counts } = this;
    if (counts === null || tensors.length === 0) return;
    // HOST SYNC: of a sampled step only.
    const found = scope(() => noGrad(() => amp.exponentHistogram(tensors).toTypedArray()));
    owners.forEach((layer, i) => {
      const to = (layer * KINDS.length + KINDS.indexOf(kind)) * BIASED_EXPONENTS;
      const from = i * BIASED_EXPONENTS;
      for (let e = 0; e < BIASED_EXPONENTS; e++) counts[to + e]! += Number(found[from + e]);
    });
  }
}

function layersOf(model: nn.Module): Layer[] {
  const modules = new Map(model.namedModules());
  const parameters = new Map<string, Tensor[]>();
  for (const [name, parameter] of model.namedParameters()) {
    const owner = name.slice(0, Math.max(name.lastIndexOf('.'), 0));
    const list = parameters.get(owner);
    if (list === undefined) parameters.set(owner, [parameter]);
    else list.push(parameter);
  }
  return Array.from(parameters, ([name, list]) => ({
    name,
    module: modules.get(name)!,
    parameters: list,
  }));
}

/** Every seventeenth value, in memory order where that needs no copy. */
function sampled(output: Tensor): Tensor {
  const values = output.detach();
  const dense = values.isContiguous() || values.isContiguous('channels_last');
  if (!dense) return values.flatten().at(slice(null, null, ACTIVATION_STRIDE));
  return values.asStrided([Math.ceil(values.numel() / ACTIVATION_STRIDE)], [ACTIVATION_STRIDE]);
}
