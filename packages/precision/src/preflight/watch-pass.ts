import { functionMode, type nn, Tensor } from '@mezzo/torch';
import { LayerStack } from '../autopsy/layer-stack.ts';
import { ConvolutionRecorder, type ConvolutionSignature } from './convolutions.ts';
import { RiskWatcher, type RiskyUse } from './risky-ops.ts';

/** What was seen of a low-precision pass while it ran. */
export interface PassNotes {
  /** Modules that returned a tensor in low precision. */
  readonly lowLayers: ReadonlySet<string>;
  readonly convolutions: readonly ConvolutionSignature[];
  readonly risky: readonly RiskyUse[];
  /** The module that was running when the pass threw; null when it did not. */
  readonly failedIn: string | null;
}

/** Runs `fn` and notes which layers, convolutions and operations at risk ran in low precision. */
export function watchPass<T>(
  model: nn.Module,
  low: 'float16' | 'bfloat16',
  fn: () => T,
): { result: T; notes: PassNotes } | { error: unknown; notes: PassNotes } {
  const layers = new LayerStack(model);
  const lowLayers = new Set<string>();
  const outputs = Array.from(model.namedModules(), ([name, module]) =>
    module.aroundForward((proceed, inputs) => {
      const output = proceed(...inputs);
      if (output instanceof Tensor && output.dtype === low) lowLayers.add(name);
      return output;
    }),
  );
  const convolutions = new ConvolutionRecorder();
  const risks = new RiskWatcher(low);
  let failedIn: string | null = null;
  const notes = (): PassNotes => ({
    lowLayers,
    convolutions: convolutions.found(),
    risky: risks.found(),
    failedIn,
  });
  try {
    const result = functionMode((name, args, proceed) => {
      const layer = layers.current;
      try {
        convolutions.note(name, args, layer ?? '');
        return risks.call(name, args, proceed, layer);
      } catch (error) {
        failedIn ??= layer;
        throw error;
      }
    }, fn);
    return { result, notes: notes() };
  } catch (error) {
    return { error, notes: notes() };
  } finally {
    for (const handle of outputs) handle.remove();
    layers.remove();
  }
}
