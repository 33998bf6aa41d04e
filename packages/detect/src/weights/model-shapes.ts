import { functionMode, scope } from '@mezzo/torch';
import { DetectionModel } from '../models/build.ts';
import type { ModelDescription } from '../models/description.ts';

/** Operations that make tensors out of nothing. */
const FACTORIES: ReadonlySet<string> = new Set(
  ['empty', 'zeros', 'ones', 'full', 'arange', 'linspace', 'eye', 'rand', 'randn', 'scalar_tensor'].map(
    (name) => `aten::${name}`,
  ),
);

/**
 * Names and shapes of the tensors that a described network has, in the order of its state dict. It is built on LibTorch's
 * `meta` device, where tensors have shapes but no memory: a description may claim any size.
 */
export function modelShapes(description: ModelDescription): ReadonlyMap<string, readonly number[]> {
  return scope(() => {
    const model = modelWithoutMemory(description);
    return new Map(Object.entries(model.stateDict()).map(([key, { shape }]) => [key, shape]));
  });
}

/** A network that has shapes and no values: to be counted, not to be run. */
export function modelWithoutMemory(description: ModelDescription): DetectionModel {
  return functionMode(
    (name, args, proceed) => proceed(FACTORIES.has(name) ? onMeta(args) : args),
    () => new DetectionModel(description),
  );
}

/** Keywords stand in an object at the end. */
function onMeta(args: readonly unknown[]): unknown[] {
  const last = args.findLastIndex((arg) => arg !== undefined);
  const keywords = args[last];
  const has = typeof keywords === 'object' && keywords !== null && !Array.isArray(keywords);
  return has
    ? args.with(last, { ...keywords, device: 'meta' })
    : [...args.slice(0, last + 1), { device: 'meta' }];
}
