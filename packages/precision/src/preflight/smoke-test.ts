import { autocast, type DType, grad, nn, scope, tensor } from '@mezzo/torch';
import { type Finding, finding } from './finding.ts';
import { deviceType } from './subject.ts';

const WEIGHT = [
  [1, 2],
  [3, 4],
];
const BIAS = [0.5, -0.5];
const INPUT = [
  [1, -1],
  [2, 0.5],
];
/** Output, then gradient of Σ output² for the weight: every number on the way is exact in fp16 and bf16. */
const EXPECTED = [-0.5, -1.5, 3.5, 7.5, 13, 4.5, 27, 10.5];

/** Forward and backward of Linear(2, 2) under autocast. */
export function runSmokeTest(device: string, low: DType): number[] {
  return scope(() => {
    const weight = tensor(WEIGHT, { device, requiresGrad: true });
    const bias = tensor(BIAS, { device });
    const region = { device: deviceType(device), dtype: low };
    const output = autocast(region, () => nn.functional.linear(tensor(INPUT, { device }), weight, bias));
    const [gradient] = grad(output.float().square().sum(), [weight]);
    return [output, gradient!].flatMap((each) =>
      Array.from(each.detach().toTypedArray() as Float32Array, Number),
    );
  });
}

/** Null when the numbers are right. */
export function judgeSmokeTest(device: string, low: DType, found: readonly number[]): Finding | null {
  if (found.length === EXPECTED.length && found.every((value, i) => value === EXPECTED[i])) return null;
  return finding(
    'SMOKE_TEST_WRONG',
    `Linear(2, 2) on ${device} in ${low} gives ${found.join(', ')} instead of ${EXPECTED.join(', ')}`,
    { evidence: { device, dtype: low, found, expected: EXPECTED } },
  );
}

/** Tries the simplest layer there is, to tell a broken machine from a difficult model. Null when it is right. */
export function smokeTest(device: string, low: DType): Finding | null {
  try {
    return judgeSmokeTest(device, low, runSmokeTest(device, low));
  } catch (error) {
    const { message } = error as Error;
    return finding('SMOKE_TEST_FAILS', `even Linear(2, 2) on ${device} in ${low} fails: ${message}`, {
      evidence: { device, dtype: low, error: message },
    });
  }
}
