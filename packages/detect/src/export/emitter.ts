import { MezzoError, type nn } from '@mezzo/torch';
import type { Graph, Value } from './graph.ts';

/** Adds the nodes of modules to a graph. */
export interface Emitter {
  readonly graph: Graph;
  /** Side of the image in pixels; null when it is only known when the graph runs. */
  readonly imgsz: number | null;
  /** The nodes of a module with one input, found in the table by its class. */
  emit: (module: nn.Module, input: Value) => Value;
  /** Name of a module in the state dict, without a dot at the end. */
  nameOf: (module: nn.Module) => string;
}

type Write = (emitter: Emitter, module: nn.Module, inputs: readonly Value[]) => Value;

/** How a class of modules is written, with its inputs; `one` of the table's rows. */
export interface Row {
  readonly kind: abstract new (...args: never[]) => nn.Module;
  readonly write: Write;
}

/** A row for modules of a class. It holds for subclasses too, unless they have a `forward` of their own. */
export function row<M extends nn.Module>(
  kind: abstract new (...args: never[]) => M,
  write: (emitter: Emitter, module: M, input: Value, inputs: readonly Value[]) => Value,
): Row {
  return { kind, write: (emitter, module, inputs) => write(emitter, module as M, inputs[0]!, inputs) };
}

/** An emitter for the modules below `root`, by a table of rows. */
export function emitterFor(
  { graph, imgsz }: Pick<Emitter, 'graph' | 'imgsz'>,
  root: nn.Module,
  rows: readonly Row[],
): Emitter & { emitAll: (module: nn.Module, inputs: readonly Value[]) => Value } {
  const names = new Map(Array.from(root.namedModules(), ([name, module]) => [module, name]));
  const byForward = new Map(rows.map(({ kind, write }) => [kind.prototype.forward, write]));
  const nameOf = (module: nn.Module): string => names.get(module) ?? '';
  const emitAll = (module: nn.Module, inputs: readonly Value[]): Value => {
    const write = byForward.get(module.forward as never);
    if (write === undefined) {
      throw new MezzoError(
        'UNSUPPORTED_EXPORT',
        `${nameOf(module)} (${module.constructor.name}) has no form in ONNX here`,
        { hint: 'format=safetensors writes the weights of any network' },
      );
    }
    return graph.within(nameOf(module), () => write(emitter, module, inputs));
  };
  const emitter = {
    graph,
    imgsz,
    nameOf,
    emitAll,
    emit: (module: nn.Module, input: Value) => emitAll(module, [input]),
  };
  return emitter;
}
