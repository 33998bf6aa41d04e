import { autocast, functionMode, type nn, noGrad, type Tensor } from '@mezzo/torch';
import { applyPlan } from '../islands/apply-plan.ts';
import { mapTensors } from '../islands/cast-tensors.ts';
import type { PlanDType, PlanRule } from '../islands/plan.ts';
import type { Clamp } from './clamps.ts';
import { LayerStack } from './layer-stack.ts';
import type { ReplayRegion } from './replay.ts';

/** Changes something about a batch while it is replayed, and takes the change back. */
export type Treatment = (batch: () => void) => void;

/** Some layers, or operations in them, in another dtype. */
export const underPlan =
  (model: nn.Module, base: PlanDType, rule: PlanRule): Treatment =>
  (batch) => {
    const applied = applyPlan(model, { version: 1, base, rules: [rule], history: [] });
    try {
      batch();
    } finally {
      applied.remove();
    }
  };

type OpChange = (args: readonly unknown[], proceed: (args: readonly unknown[]) => unknown) => unknown;

/** Where an operation is called directly: the layer's name, null outside the model. */
interface OpPlace {
  readonly layer: string | null;
  readonly op: string;
}

const changedOps =
  (model: nn.Module, changes: readonly (OpPlace & { readonly change: OpChange })[]): Treatment =>
  (batch) => {
    const layers = new LayerStack(model);
    const changeOf = (name: string) =>
      changes.find(({ op, layer }) => op === name && layer === layers.current)?.change;
    try {
      functionMode((name, args, proceed) => changeOf(name)?.(args, proceed) ?? proceed(args), batch);
    } finally {
      layers.remove();
    }
  };

export interface ClampedOp extends OpPlace {
  readonly clamp: Clamp;
}

/** Every call of these operations with its input or output clamped. */
export const clampedOps = (model: nn.Module, ops: readonly ClampedOp[]): Treatment =>
  changedOps(
    model,
    ops.map(({ clamp, ...place }) => ({
      ...place,
      change: (args, proceed) => {
        const result = proceed(clamp.input?.(args) ?? args);
        return clamp.output === undefined ? result : mapTensors(result, clamp.output);
      },
    })),
  );

/** An operation outside the model, which no plan reaches, as a program would write it: inputs cast, no autocast. */
export const float32OpOutside = (model: nn.Module, op: string, { device }: ReplayRegion): Treatment =>
  changedOps(model, [
    {
      layer: null,
      op,
      change: (args, proceed) =>
        autocast({ device, enabled: false }, () =>
          proceed(mapTensors(args, (tensor) => (isHalf(tensor) ? tensor.float() : tensor)) as unknown[]),
        ),
    },
  ]);

const isHalf = ({ dtype }: Tensor) => dtype === 'float16' || dtype === 'bfloat16';

/** A layer with another `eps`. */
export const withEps =
  (layer: { eps: number }, eps: number): Treatment =>
  (batch) => {
    const own = layer.eps;
    layer.eps = eps;
    try {
      batch();
    } finally {
      layer.eps = own;
    }
  };

/** The inputs with 0 in place of each infinity and NaN; the replay puts the values back. */
export const withFiniteInputs =
  (tensors: readonly Tensor[]): Treatment =>
  (batch) => {
    noGrad(() => {
      for (const tensor of tensors) tensor.detach().nanToNum_(0, 0, 0);
    });
    batch();
  };
