import { keep, manualSeed, nn, randn, type Tensor } from '@mezzo/torch';
import type { Finding, PassOutput, PreflightSubject } from '../src/index.ts';

export type Low = 'float16' | 'bfloat16';
export const LOW: readonly Low[] = ['bfloat16', 'float16'];

/** Convolution, BatchNorm, SiLU, twice; a layer in between; a mean over the image; four numbers. */
export class Net extends nn.Module {
  readonly first: nn.Conv2d;
  readonly bn: nn.BatchNorm2d;
  readonly second: nn.Conv2d;
  readonly middle: nn.Layer;
  readonly head: nn.Linear;

  constructor(channels: number, middle: nn.Layer = new nn.Identity()) {
    super();
    this.first = new nn.Conv2d(channels, 8, 3, { padding: 1 });
    this.bn = new nn.BatchNorm2d(8);
    this.second = new nn.Conv2d(8, 8, 3, { padding: 1 });
    this.middle = middle;
    this.head = new nn.Linear(8, 4);
  }

  override forward(images: Tensor): Tensor {
    const features = nn.functional.silu(this.bn.forward(this.first.forward(images)));
    const deep = this.middle.forward(nn.functional.silu(this.second.forward(features)));
    return this.head.forward(deep.mean([2, 3]));
  }
}

export interface Setup {
  channels?: number;
  middle?: nn.Layer;
  model?: nn.Module & { forward(images: Tensor): Tensor };
  batch?: number;
  low?: Low;
  side?: number;
  loss?: (output: Tensor, target: Tensor) => Tensor;
}

export function subjectOf({
  channels = 3,
  middle,
  model,
  batch = 4,
  low = 'bfloat16',
  side = 16,
  loss = (output, target) => output.float().sub(target).square().mean(),
}: Setup = {}): PreflightSubject {
  manualSeed(1);
  const net = model ?? new Net(channels, middle);
  const images = keep(randn([batch, channels, side, side]));
  const targets = keep(randn([batch, 4]));
  return {
    model: net,
    device: 'cpu',
    low,
    batch,
    run: ({ batch: count, region }): PassOutput<null> => {
      const output = region(() => net.forward(images.narrow(0, 0, count)));
      return { loss: loss(output, targets.narrow(0, 0, count)), outputs: { output }, detail: null };
    },
  };
}

export const codes = (findings: readonly Finding[]) => findings.map(({ code }) => code);
export const withoutNotes = (findings: readonly Finding[]) =>
  findings.filter(({ severity }) => severity !== 'note');

export class Apply extends nn.Layer {
  private readonly fn: (x: Tensor) => Tensor;

  constructor(fn: (x: Tensor) => Tensor) {
    super();
    this.fn = fn;
  }

  override forward(x: Tensor): Tensor {
    return this.fn(x);
  }
}
