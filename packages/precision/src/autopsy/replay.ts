import { amp, type DType, type nn, type RemovableHandle, scope, Tensor, TorchError } from '@mezzo/torch';
import { largestMagnitudes } from './measure.ts';
import { type RandomStates, untouched } from './restore.ts';

/** The autocast region of a replay, to be handed to `autocast`. */
export interface ReplayRegion {
  readonly device: amp.AutocastDevice;
  readonly dtype: DType;
  readonly enabled: boolean;
}

/** Precision and loss scale of one replay. */
export interface ReplaySettings {
  readonly region: ReplayRegion;
  readonly scale: number;
}

/** What a replay gave. */
export interface ReplayOutcome {
  /** Loss, every gradient and every buffer are finite. */
  readonly finite: boolean;
  readonly lossFinite: boolean;
  /** Names of what is not finite. */
  readonly gradients: readonly string[];
  readonly buffers: readonly string[];
  /** Did the model run under the region that was asked for? */
  readonly inRegion: boolean;
}

export interface ReplayParts {
  readonly model: nn.Module;
  readonly run: (region: ReplayRegion) => Tensor;
  readonly inputs: readonly Tensor[];
  readonly random: RandomStates | undefined;
}

/** Replays of one batch: forward, loss and scaled backward, of which nothing remains but what they gave. */
export class Replayer {
  /** Replays so far. */
  count = 0;
  private readonly parts: ReplayParts;

  constructor(parts: ReplayParts) {
    this.parts = parts;
  }

  /**
   * @param around runs the replay in its midst: the place to observe it, or to change the model or the inputs
   * @throws TorchError BAD_ARGUMENT when `run` does not return one number
   */
  replay<T = void>(
    settings: ReplaySettings,
    around: (batch: () => void) => T = (batch) => batch() as T,
  ): { outcome: ReplayOutcome; result: T } {
    const { model, inputs, random } = this.parts;
    this.count += 1;
    return untouched(
      model,
      () => {
        let outcome: ReplayOutcome | undefined;
        const result = around(() => {
          outcome = this.batch(settings);
        });
        return { outcome: outcome!, result };
      },
      { tensors: inputs, ...(random === undefined ? {} : { random }) },
    );
  }

  private batch({ region, scale }: ReplaySettings): ReplayOutcome {
    const { model, run } = this.parts;
    return scope(() => {
      const watch = watchRegion(model, region);
      try {
        const loss = oneNumber(run(region));
        const [size] = largestMagnitudes([loss]);
        const lossFinite = Number.isFinite(size);
        // Without a finite loss no gradient is finite either: one backward less.
        if (lossFinite) loss.mul(scale).backward();
        const gradients = lossFinite ? notFinite(gradientsOf(model)) : [];
        const buffers = notFinite([...model.namedBuffers()]);
        const finite = lossFinite && gradients.length === 0 && buffers.length === 0;
        return { finite, lossFinite, gradients, buffers, inRegion: watch.honoured };
      } finally {
        watch.handle.remove();
      }
    });
  }
}

function oneNumber(loss: unknown): Tensor {
  if (loss instanceof Tensor && loss.numel() === 1) return loss;
  const given = loss instanceof Tensor ? `a tensor of shape [${loss.shape.join(', ')}]` : 'no tensor';
  throw new TorchError(
    'BAD_ARGUMENT',
    `autopsy: run returned ${given}; it must return the loss, a tensor of one number`,
  );
}

function gradientsOf(model: nn.Module): [string, Tensor][] {
  return [...model.namedParameters()].flatMap(([name, { grad }]) => (grad === null ? [] : [[name, grad]]));
}

const notFinite = (named: readonly (readonly [string, Tensor])[]): string[] => {
  const sizes = largestMagnitudes(named.map(([, tensor]) => tensor));
  return named.flatMap(([name], i) => (Number.isNaN(sizes[i]) ? [name] : []));
};

/** Compares the region in which the model's forward begins with the one that was handed to `run`. */
function watchRegion(
  model: nn.Module,
  { device, dtype, enabled }: ReplayRegion,
): { handle: RemovableHandle; honoured: boolean } {
  const watch = {
    honoured: true,
    handle: model.aroundForward((proceed, inputs) => {
      const found = amp.isAutocastEnabled(device);
      if (found !== enabled || (enabled && amp.getAutocastDtype(device) !== dtype)) watch.honoured = false;
      return proceed(...inputs);
    }),
  };
  return watch;
}
