import { type DType, forkRng, Generator, grad, noGrad, op, randn, scope, stack, Tensor } from '@mezzo/torch';
import { type Finding, finding } from './finding.ts';
import { withinMemory } from './fit-batch.ts';
import { LIMITS, ROUNDING } from './limits.ts';

/** A kind of convolution that a model runs: what a kernel is chosen by. */
export interface ConvolutionSignature {
  /** 'aten::conv2d' */
  readonly op: string;
  readonly input: readonly number[];
  readonly weight: readonly number[];
  readonly channelsLast: { readonly input: boolean; readonly weight: boolean };
  /** Arguments after the bias: stride, padding, dilation, groups. */
  readonly rest: readonly unknown[];
  readonly layers: readonly string[];
}

const CONVOLUTIONS = new Set([
  'aten::conv1d',
  'aten::conv2d',
  'aten::conv3d',
  'aten::conv_transpose1d',
  'aten::conv_transpose2d',
  'aten::conv_transpose3d',
  'aten::convolution',
]);

/** Collects the distinct convolutions of a pass. */
export class ConvolutionRecorder {
  private readonly signatures = new Map<string, ConvolutionSignature & { layers: string[] }>();

  note(name: string, args: readonly unknown[], layer: string): void {
    if (!CONVOLUTIONS.has(name)) return;
    const [input, weight, , ...rest] = args;
    if (!(input instanceof Tensor) || !(weight instanceof Tensor)) return;
    const signature = {
      op: name,
      input: input.shape,
      weight: weight.shape,
      channelsLast: { input: isChannelsLast(input), weight: isChannelsLast(weight) },
      rest: rest.filter((each) => each !== undefined),
    };
    const key = JSON.stringify(signature);
    const known = this.signatures.get(key);
    if (known === undefined) this.signatures.set(key, { ...signature, layers: [layer] });
    else known.layers.push(layer);
  }

  found(): ConvolutionSignature[] {
    return [...this.signatures.values()];
  }
}

const isChannelsLast = (tensor: Tensor): boolean =>
  tensor.ndim === 4 && tensor.isContiguous('channels_last') && !tensor.isContiguous();

/** Relative L2 errors of one convolution in low precision against float32 on the same, exactly representable numbers. */
export interface ConvolutionErrors {
  readonly output: number;
  readonly inputGradient: number;
  readonly weightGradient: number;
}

/**
 * Runs a convolution and its backward on random numbers in both precisions. NaN where the result is not finite.
 * HOST SYNC: one.
 */
export function tryConvolution(
  signature: ConvolutionSignature,
  device: string,
  low: DType,
): ConvolutionErrors {
  return scope(() => {
    const convolve = op(signature.op);
    const generator = new Generator(device);
    const random = (shape: readonly number[], spread: number, channelsLast: boolean) =>
      noGrad(() =>
        randn(shape, { device, generator })
          .mul(spread)
          .to({ dtype: low, memoryFormat: channelsLast ? 'channels_last' : undefined }),
      );
    const fanIn = signature.weight.slice(1).reduce((product, size) => product * size, 1);
    const input = random(signature.input, 1, signature.channelsLast.input);
    const weight = random(signature.weight, 1 / Math.sqrt(fanIn), signature.channelsLast.weight);
    let upstream: Tensor | undefined;
    const run = (dtype: DType) => {
      const [x, w] = [input, weight].map((each) => each.detach().to(dtype).requiresGrad_()) as [
        Tensor,
        Tensor,
      ];
      const y = convolve(x, w, null, ...signature.rest);
      upstream ??= random(y.shape, 1, false);
      const gradients = grad(y, [x, w], { gradOutputs: upstream.to(dtype) });
      return [y.detach(), ...gradients];
    };
    try {
      const [full, reduced] = [run('float32'), run(low)];
      const errors = stack(full.map((each, i) => relativeError(each, reduced[i]!))).toTypedArray();
      const [output, inputGradient, weightGradient] = Array.from(errors as Float32Array) as [
        number,
        number,
        number,
      ];
      return { output, inputGradient, weightGradient };
    } finally {
      generator.dispose();
    }
  });
}

/** Float32 needs more memory than training will: where that lacks, fewer samples are tried; null when not one fits. */
function tryWithinMemory(
  signature: ConvolutionSignature,
  device: string,
  low: DType,
): ConvolutionErrors | null {
  const [batch = 1, ...sizes] = signature.input;
  for (let samples = batch; samples >= 1; samples = Math.floor(samples / 2)) {
    const smaller = { ...signature, input: [samples, ...sizes] };
    const errors = withinMemory(device, () => tryConvolution(smaller, device, low));
    if (errors !== null) return errors;
  }
  return null;
}

function relativeError(reference: Tensor, other: Tensor): Tensor {
  return noGrad(() => other.float().sub(reference).norm().div(reference.norm()));
}

/** The convolutions whose low-precision kernels are wrong, as findings: one for each signature. */
export function checkConvolutions(
  signatures: readonly ConvolutionSignature[],
  device: string,
  low: 'float16' | 'bfloat16',
): { findings: Finding[]; worst: number } {
  const limit = LIMITS.convolutionRoundings * ROUNDING[low]!;
  const findings: Finding[] = [];
  let worst = 0;
  forkRng(() => {
    for (const signature of signatures) {
      const errors = tryWithinMemory(signature, device, low);
      if (errors === null) continue;
      const largest = Math.max(errors.output, errors.inputGradient, errors.weightGradient);
      if (largest <= limit) worst = Math.max(worst, largest);
      else findings.push(wrongConvolution(signature, errors, low, limit));
    }
  });
  return { findings, worst };
}

function wrongConvolution(
  signature: ConvolutionSignature,
  errors: ConvolutionErrors,
  low: string,
  limit: number,
): Finding {
  const { op: name, input, weight, rest, layers } = signature;
  const parts = Object.entries(errors).map(([part, error]) => `${part} ${readable(error)}`);
  return finding(
    'CONVOLUTION_WRONG',
    `the ${low} kernel of ${name.replace('aten::', '')} [${input.join(', ')}] * [${weight.join(', ')}] is wrong ` +
      `in ${layers.join(', ')}: relative errors ${parts.join(', ')}, at most ${limit.toPrecision(2)} is right`,
    {
      evidence: { ...errors, limit, op: name, input, weight, rest, layers },
      ...(layers.includes('')
        ? {}
        : {
            island: {
              layers: braced(layers),
              dtype: 'float32',
              reason: `the ${low} kernel of its convolution is wrong`,
            },
          }),
    },
  );
}

const readable = (error: number) => (Number.isFinite(error) ? error.toPrecision(2) : 'not finite');

/** A pattern that fits these names. */
const braced = (names: readonly string[]) => (names.length === 1 ? names[0]! : `{${names.join(',')}}`);
