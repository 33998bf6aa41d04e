import { type DType, forkRng, keep, nn, noGrad, op, scope, setRngState, Tensor } from '@mezzo/torch';

/** States of generators by device, as `getRngState` gives them. */
export type RandomStates = Readonly<Record<string, Uint8Array>>;

/**
 * Runs `fn` on a model and leaves no trace of it: gradients, buffers (BatchNorm's statistics), the modules' other
 * properties, the given tensors and the default generators are afterwards what they were, to the bit. Gradients
 * are set aside, so inside the model has none. The parameters are not copied: `fn` must not step an optimizer.
 * @param random generator states to start from instead of the current ones
 */
export function untouched<T>(
  model: nn.Module,
  fn: () => T,
  { random = {}, tensors = [] }: { random?: RandomStates; tensors?: readonly Tensor[] } = {},
): T {
  const properties = rememberProperties(model);
  const restore = [
    setGradientsAside(model),
    properties.restore,
    rememberValues([...properties.tensors, ...tensors]),
  ];
  try {
    return forkRng(() => {
      for (const [device, state] of Object.entries(random)) setRngState(state, device);
      return fn();
    });
  } finally {
    for (const each of restore) each();
  }
}

function setGradientsAside(model: nn.Module): () => void {
  const aside = model.parameters().map((parameter) => {
    const { grad } = parameter;
    if (grad !== null) keep(grad);
    parameter.grad = null;
    return [parameter, grad] as const;
  });
  return () => {
    for (const [parameter, grad] of aside) {
      parameter.grad = grad;
      grad?.dispose();
    }
  };
}

/** Which tensors, numbers and flags the modules hold: buffers may be replaced, counters counted. */
function rememberProperties(model: nn.Module): { tensors: Tensor[]; restore: () => void } {
  const known = Array.from(model.modules(), (module) => [module, Object.entries(module)] as const);
  const values = known.flatMap(([, entries]) => entries.map(([, value]) => value));
  const restore = () => {
    for (const [module, entries] of known) {
      const now = module as unknown as Record<string, unknown>;
      for (const [name, value] of entries) if (!Object.is(now[name], value)) now[name] = value;
    }
  };
  return {
    tensors: values.filter(
      (value) => value instanceof Tensor && !(value instanceof nn.Parameter),
    ) as Tensor[],
    restore,
  };
}

/** What changed is copied back; the rest is not written to, for a graph outside may hold it. HOST SYNC: one a tensor. */
function rememberValues(tensors: readonly Tensor[]): () => void {
  const known = tensors.map((tensor) => ({
    tensor,
    copy: keep(scope(() => noGrad(() => tensor.detach().clone()))),
  }));
  return () => {
    for (const { tensor, copy } of known) {
      scope(() => noGrad(() => sameBits(tensor.detach(), copy) || tensor.detach().copy_(copy)));
      copy.dispose();
    }
  };
}

const INTEGERS: Readonly<Record<number, DType>> = { 1: 'uint8', 2: 'int16', 4: 'int32', 8: 'int64' };
const viewAs = op<(tensor: Tensor, dtype: DType) => Tensor>('aten::view', 'dtype');

/**
 * Versions would not tell: BatchNorm's kernels write their statistics without counting. As integers NaN equals
 * itself, and 0 differs from -0.
 */
function sameBits(a: Tensor, b: Tensor): boolean {
  const integer = INTEGERS[a.itemsize];
  return integer !== undefined && a.isContiguous() && viewAs(a, integer).equal(viewAs(b, integer));
}
