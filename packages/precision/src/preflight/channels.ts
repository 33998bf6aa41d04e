import { nn, Tensor } from '@mezzo/torch';
import { type Finding, finding } from './finding.ts';
import { runPass } from './run-pass.ts';
import type { PreflightSubject } from './subject.ts';

/** Modules that take a fixed number of channels, and where among the dimensions those are. */
const TAKERS = [nn.Conv1d, nn.Conv2d, nn.Conv3d, nn.ConvTranspose1d, nn.ConvTranspose2d] as const;

export const channelsDisagree = (layer: string, expected: number, given: number): Finding =>
  finding('CHANNELS_DISAGREE', `${layer} takes ${channels(expected)}, the data has ${given}`, {
    evidence: { layer, expected, given },
  });

const channels = (count: number) => `${count} channel${count === 1 ? '' : 's'}`;

/** For a model that fails in float32: the first convolution that gets another number of channels than it takes. */
export function findChannelMismatch<D>(subject: PreflightSubject<D>): Finding | null {
  let found: Finding | null = null;
  const handles = [...subject.model.namedModules()].flatMap(([layer, module]) => {
    if (!TAKERS.some((taker) => module instanceof taker)) return [];
    const { inChannels, kernelSize } = module as nn.Conv2d;
    return [
      module.aroundForward((proceed, inputs) => {
        const [input] = inputs;
        if (input instanceof Tensor && found === null) {
          const given = input.shape[input.ndim - kernelSize.length - 1] ?? 0;
          if (given !== inChannels) found = channelsDisagree(layer, inChannels, given);
        }
        return proceed(...inputs);
      }),
    ];
  });
  try {
    runPass(subject, { batch: 1, dtype: 'float32', scale: 1 });
    return null;
  } catch {
    // The failure is known; this run was to see what it came from.
    return found;
  } finally {
    for (const handle of handles) handle.remove();
  }
}
