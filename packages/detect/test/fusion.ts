import { noGrad, scope, tensor } from '@mezzo/torch';
import { FUSION_BLOCKS, FUSIONS, type FusionOptions, fusionModel } from '../src/fusion/fusion-model.ts';
import { DetectionModel } from '../src/models/build.ts';
import { formulaWeights } from './formula.ts';

/** Every kind of fusion with either kind of blocks. */
export const ALL_FUSIONS = FUSIONS.flatMap((fusion) => FUSION_BLOCKS.map((blocks) => ({ fusion, blocks })));

/** A dual-stream detector of size n and three classes, freshly initialised. */
export function dualModel(options: Partial<FusionOptions> = {}): DetectionModel {
  const defaults = { fusion: 'mid', blocks: 'yolo11', scale: 'n', channels: [3, 1], nc: 3 } as const;
  return new DetectionModel(fusionModel({ ...defaults, ...options }));
}

/** The same with weights that are a function of their names: features differ from place to place and from layer to layer. */
export function formulaDual(options: Partial<FusionOptions>, gain: number): DetectionModel {
  const model = dualModel(options);
  scope(() =>
    noGrad(() => {
      for (const [key, target] of Object.entries(model.stateDict())) {
        target.copy_(tensor(formulaWeights(key, target.shape, gain)).view(target.shape));
      }
    }),
  );
  return model;
}
