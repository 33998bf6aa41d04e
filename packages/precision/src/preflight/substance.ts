import { noGrad, scope, stack } from '@mezzo/torch';
import { type Finding, finding } from './finding.ts';
import { listed } from './judge.ts';
import { isFinitePass, type PassRecord } from './run-pass.ts';

/**
 * Whether the float32 pass gives anything to compare. A check of a model that computes nothing, or learns nothing,
 * must not pass because nothing equals nothing.
 */
export function judgeSubstance(reference: PassRecord<unknown>): Finding[] {
  if (!isFinitePass(reference)) {
    const what = Number.isFinite(reference.loss)
      ? `gradients are not finite: ${listed(reference.overflowed)}`
      : `the loss is ${reference.loss}`;
    return [
      finding('FP32_NOT_FINITE', `in float32 already ${what}`, {
        evidence: { loss: String(reference.loss), parameters: reference.overflowed },
      }),
    ];
  }
  const constant = constantOutputs(reference);
  const total = Object.keys(reference.outputs).length;
  if (total > 0 && constant.length === total) {
    return [
      finding(
        'CONSTANT_OUTPUT',
        `every output of the model is the same number everywhere: ${listed(constant)}`,
        {
          evidence: { outputs: constant },
        },
      ),
    ];
  }
  const idle = idleParameters(reference);
  if (idle.length === reference.gradients.size) {
    const why = idle.length === 0 ? 'no parameter is trained' : 'no parameter receives a gradient';
    return [
      finding('NO_GRADIENT', `${why}, so there is nothing to compare`, { evidence: { parameters: idle } }),
    ];
  }
  if (idle.length === 0) return [];
  return [
    finding(
      'LAYERS_WITHOUT_GRADIENT',
      `${idle.length} of ${reference.gradients.size} parameters receive no gradient, so they were not compared: ${listed(idle)}`,
      { evidence: { parameters: idle } },
    ),
  ];
}

/** Parameters whose gradient is absent or zero throughout. */
const idleParameters = ({ gradients, largest }: PassRecord<unknown>): string[] =>
  [...gradients.keys()].filter((name) => (largest.get(name) ?? 0) === 0);

/** HOST SYNC: one. */
function constantOutputs({ outputs }: PassRecord<unknown>): string[] {
  const entries = Object.entries(outputs).filter(([, output]) => output.numel() > 1);
  if (entries.length === 0) return [];
  const spreads = scope(() =>
    noGrad(() => stack(entries.map(([, output]) => output.max().sub(output.min()))).toTypedArray()),
  ) as Float32Array;
  return entries.filter((_, i) => spreads[i] === 0).map(([name]) => name);
}
