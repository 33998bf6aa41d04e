import { allGather } from '../distributed/collectives.ts';
import type { DistributedDataParallel } from '../distributed/data-parallel.ts';
import { DistributedError } from '../distributed/errors.ts';
import type { ProcessGroup } from '../distributed/group.ts';
import { stack } from '../tensor/compose.ts';
import { emptyLike } from '../tensor/creation.ts';
import type { Tensor } from '../tensor/tensor.ts';
import type { EvidenceRow } from './window-verdict.ts';

/** What a rank adds to the evidence of a window that the ranks of a group decide together. */
export interface RankEvidence {
  readonly group: ProcessGroup;
  /** int32: the largest magnitudes of what this rank brought to the mean, its gradients divided by the group's size. */
  readonly brought: Tensor;
  /** Where in `brought` each gradient of the window is. */
  readonly places: readonly number[];
}

/** What was not finite on one rank. */
export interface RankCulprits {
  readonly rank: number;
  /** Parameters (by this rank's own gradients) and buffers; 'loss' when nothing else is. */
  readonly culprits: readonly string[];
}

export function rankEvidence(model: DistributedDataParallel, parameters: readonly Tensor[]): RankEvidence {
  const places = new Map(model.trained.map((parameter, i) => [parameter, i]));
  return {
    group: model.processGroup,
    brought: model.ownMagnitudes(),
    places: parameters.map((parameter) => {
      const place = places.get(parameter);
      if (place !== undefined) return place;
      throw new DistributedError(
        'VALUE',
        'TrainingStep: an optimizer has a parameter whose gradient DistributedDataParallel does not average',
        {
          hint: 'give the optimizers parameters of the wrapped model that required gradients when it was wrapped',
        },
      );
    }),
  };
}

/** The rows of all ranks, by rank: [columns] to [ranks, columns]. */
export function gatherRows(row: Tensor, group: ProcessGroup): Tensor {
  const rows = Array.from({ length: group.size }, () => emptyLike(row));
  allGather(rows, row, { group });
  return stack(rows);
}

/**
 * What the rows tell beyond each rank's own.
 * @throws DistributedError VALUE when the loss scales differ; all ranks throw alike
 */
export function compareRanks(
  rows: readonly EvidenceRow[],
  names: readonly string[],
  bufferNames: readonly string[],
  { group, places }: RankEvidence,
): { beforeMean: Float32Array; culpritsByRank: RankCulprits[] } {
  const scale = rows[0]!.scale;
  const other = rows.findIndex((row) => row.scale !== scale);
  if (other >= 0) {
    const [first, rank] = [group.ranks[0], group.ranks[other]];
    throw new DistributedError(
      'VALUE',
      `the loss scale is ${scale} on rank ${first}, ${rows[other]!.scale} on rank ${rank}`,
      { hint: "make every rank's GradScaler alike, and load the same state into each" },
    );
  }
  // What came to the mean was scaled, and divided by the size before it was added.
  const factor = group.size / (scale ?? 1);
  const beforeMean = Float32Array.from(places, (place) =>
    rows.reduce((largest, { brought }) => Math.max(largest, brought[place]! * factor), 0),
  );
  const culpritsByRank = rows.flatMap(({ brought, buffers, losses }, i) => {
    const culprits = [
      ...names.filter((_, at) => !Number.isFinite(brought[places[at]!])),
      ...bufferNames.filter((_, at) => !Number.isFinite(buffers[at])),
    ];
    if (culprits.length === 0 && !losses.every(Number.isFinite)) culprits.push('loss');
    return culprits.length === 0 ? [] : [{ rank: group.ranks[i]!, culprits }];
  });
  return { beforeMean, culpritsByRank };
}
