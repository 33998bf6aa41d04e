import { amp, autocast, type nn, type RemovableHandle } from '@mezzo/torch';
import { firstTensor, mapTensors } from './cast-tensors.ts';
import { type OpTable, opTableOf } from './op-table.ts';
import type { PlanDType, PlanRule, PrecisionPlan } from './plan.ts';
import { type LayerPrecision, resolvePlan } from './resolve-plan.ts';

/**
 * A plan at work on a model. It refines the autocast region that the model runs in: outside every region nothing
 * is cast, except in a plan whose base is float32, whose low layers open regions of their own.
 *
 * A float32 layer gets its 16-bit inputs as float32 and runs without autocast; a 16-bit layer inside something
 * else runs under autocast in its dtype. Either way its output comes out as float32, which every region takes
 * (an fp16 tensor in a bf16 region is an error of LibTorch).
 */
export class AppliedPlan {
  readonly model: nn.Module;
  #plan: PrecisionPlan;
  #layers: Map<string, LayerPrecision>;
  readonly #islands = new Map<string, Island>();
  /** Islands whose forward is running, on this model. */
  readonly #running = { depth: 0 };

  /** @throws PlanError PLAN_MISMATCH for layers or operations that are not there; the model is then unchanged */
  constructor(model: nn.Module, plan: PrecisionPlan) {
    this.model = model;
    this.#plan = plan;
    this.#layers = new Map();
    this.set(plan);
  }

  get plan(): PrecisionPlan {
    return this.#plan;
  }

  /** Every module of the model with what the plan says about it. */
  get layers(): ReadonlyMap<string, LayerPrecision> {
    return this.#layers;
  }

  /** Puts another plan in place of this one: only layers that change are touched. @throws as the constructor */
  set(plan: PrecisionPlan): void {
    const layers = resolvePlan(this.model, plan);
    const wanted = new Map<string, LayerPrecision & { table: OpTable | null }>();
    for (const layer of layers.values()) {
      if (layer.island) wanted.set(layer.name, { ...layer, table: opTableOf(layer.ops) });
    }
    for (const [name, island] of this.#islands) {
      const next = wanted.get(name);
      if (next !== undefined && island.is(plan.base, next.dtype, next.table)) wanted.delete(name);
      else this.#drop(name, island);
    }
    for (const [name, { module, dtype, table }] of wanted) {
      this.#islands.set(name, new Island(module, plan.base, dtype, table, this.#running));
    }
    this.#plan = plan;
    this.#layers = layers;
  }

  /** Takes every change back: the model runs as before. */
  remove(): void {
    for (const [name, island] of this.#islands) this.#drop(name, island);
  }

  /**
   * The rule that decides the dtype of a layer, or of an operation in it (`aten::exp`); null for the plan's base
   * and for names that are no layer.
   */
  ruleFor(layer: string, op?: string): PlanRule | null {
    const found = this.#layers.get(layer);
    return (op === undefined ? undefined : found?.ops.get(op)) ?? found?.rule ?? null;
  }

  /** The dtype planned for a layer, undefined for a name that is no layer. */
  dtypeOf(layer: string): PlanDType | undefined {
    return this.#layers.get(layer)?.dtype;
  }

  #drop(name: string, island: Island): void {
    island.handle.remove();
    this.#islands.delete(name);
  }
}

/** Makes a model follow a plan, see {@link AppliedPlan}. @throws PlanError PLAN_MISMATCH */
export const applyPlan = (model: nn.Module, plan: PrecisionPlan): AppliedPlan => new AppliedPlan(model, plan);

/** One layer whose forward runs in another region than what calls it. */
class Island {
  readonly handle: RemovableHandle;
  readonly #base: PlanDType;
  readonly #dtype: PlanDType;
  readonly #table: OpTable | null;
  readonly #running: { depth: number };

  constructor(
    module: nn.Module,
    base: PlanDType,
    dtype: PlanDType,
    table: OpTable | null,
    running: { depth: number },
  ) {
    this.#base = base;
    this.#dtype = dtype;
    this.#table = table;
    this.#running = running;
    this.handle = module.aroundForward((proceed, inputs) => this.#run(proceed, inputs));
  }

  is(base: PlanDType, dtype: PlanDType, table: OpTable | null): boolean {
    return this.#base === base && this.#dtype === dtype && this.#table === table;
  }

  #run(proceed: (...inputs: unknown[]) => unknown, inputs: unknown[]): unknown {
    const device = deviceOf(inputs);
    const enabled = amp.isAutocastEnabled(device);
    const around = enabled ? amp.getAutocastDtype(device) : 'float32';
    const opens = this.#base === 'float32' && (this.#dtype !== 'float32' || this.#table !== null);
    if (!enabled && this.#running.depth === 0 && !opens) return proceed(...inputs);
    const inside = () => this.#inRegion(device, around, proceed, inputs);
    this.#running.depth += 1;
    try {
      return this.#table === null ? inside() : this.#table.during(inside);
    } finally {
      this.#running.depth -= 1;
    }
  }

  #inRegion(
    device: amp.AutocastDevice,
    around: string,
    proceed: (...inputs: unknown[]) => unknown,
    inputs: unknown[],
  ): unknown {
    const dtype = this.#dtype;
    if (dtype === around) return proceed(...inputs);
    const given = mapTensors(inputs, (tensor) =>
      isHalf(tensor.dtype) && tensor.dtype !== dtype ? tensor.to(dtype) : tensor,
    ) as unknown[];
    // A weight that is used on both sides has one place in the cast cache, for the other side's dtype.
    const region =
      dtype === 'float32'
        ? { device, enabled: false }
        : ({ device, dtype, enabled: true, cache: false } as const);
    const output = autocast(region, () => proceed(...given));
    return mapTensors(output, (tensor) => (isHalf(tensor.dtype) ? tensor.float() : tensor));
  }
}

const isHalf = (dtype: string) => dtype === 'float16' || dtype === 'bfloat16';

function deviceOf(inputs: unknown[]): amp.AutocastDevice {
  const device = firstTensor(inputs)?.device;
  if (device !== undefined) return device.startsWith('cuda') ? 'cuda' : 'cpu';
  return amp.isAutocastEnabled('cuda') ? 'cuda' : 'cpu';
}
