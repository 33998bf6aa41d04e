import { hostname } from 'node:os';
import { loadedAddon } from '@mezzo/libtorch';
import { MezzoError } from '@mezzo/torch';
import type { TrainSettings } from '../config/index.ts';
import type { PlannedPrecision } from '../precision/plan.ts';
import type { Ranks } from './ranks.ts';

/** What has to be alike on all ranks beside the model, whose shapes are compared when it is wrapped. */
export interface RankRun {
  readonly settings: TrainSettings;
  readonly planned: PlannedPrecision;
  readonly pictures: { readonly train: number; readonly val: number };
  readonly names: readonly string[];
}

/** Options that may differ, because they are about one host, or only the first rank follows them. */
const OF_ONE_RANK: ReadonlySet<string> = new Set<keyof TrainSettings>([
  'autopsy',
  'data',
  'datasets_dir',
  'exist_ok',
  'model',
  'name',
  'plots',
  'precision',
  'pretrained',
  'project',
  'recorder',
  'resume',
  'strict',
  'timeout',
  'verbose',
  'workers',
]);

/**
 * Compares the run over the ranks; every rank must call it and all throw alike.
 * @throws {MezzoError} RANKS_DIFFER with the first difference and both sides of it
 */
export function requireSameRun(ranks: Ranks, run: RankRun): void {
  if (ranks.size === 1) return;
  const [first, ...others] = ranks.gather({ host: hostname(), facts: factsOf(run) });
  for (const [i, other] of others.entries()) {
    const names = [...new Set([...Object.keys(first!.facts), ...Object.keys(other.facts)])];
    const name = names.find((key) => first!.facts[key] !== other.facts[key]);
    if (name === undefined) continue;
    const [ours, theirs] = [first!, other].map(({ facts }) => facts[name] ?? 'not there');
    throw new MezzoError(
      'RANKS_DIFFER',
      `the ranks do not train the same: ${name} is ${ours} on rank 0 (${first!.host}), ` +
        `${theirs} on rank ${i + 1} (${other.host})`,
      { hint: 'start all ranks with the same version, options and data' },
    );
  }
}

/** By name, as text. */
function factsOf({ settings, planned, pictures, names }: RankRun): Record<string, string> {
  const { precision, plan } = planned;
  const options = Object.entries(settings).filter(([name]) => !OF_ONE_RANK.has(name));
  return {
    LibTorch: loadedAddon()?.libtorch.version ?? 'unknown',
    'the number of training pictures': String(pictures.train),
    'the number of validation pictures': String(pictures.val),
    'the list of classes': names.join(', '),
    'the precision': precision.enabled ? precision.dtype : 'float32',
    'the memory format': precision.channelsLast ? 'channels_last' : 'contiguous',
    'the precision plan': JSON.stringify(plan.rules),
    ...Object.fromEntries(options.map(([name, value]) => [`${name}=`, JSON.stringify(value)])),
  };
}
