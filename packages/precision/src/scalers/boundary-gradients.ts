import {
  type amp,
  type DType,
  type GradScaler,
  hostMemory,
  keep,
  type nn,
  noGrad,
  op,
  type RemovableHandle,
  scope,
  Tensor,
  zeros,
} from '@mezzo/torch';

const viewAs = op<(tensor: Tensor, dtype: DType) => Tensor>('aten::view', 'dtype');

/**
 * Gradients between modules, which no parameter holds and which overflow just as well. While it listens, every
 * tensor of `dtype` that a module of the model returns is watched in backward; the largest |gradient| stays on
 * the device.
 */
export class BoundaryGradients {
  /** Parameters of modules that computed in `dtype` with them: their gradients are made in it. */
  readonly parameters = new Set<nn.Parameter>();
  private readonly model: nn.Module;
  private readonly dtype: DType;
  private handles: RemovableHandle[] = [];
  private peak: Tensor | undefined;

  constructor(model: nn.Module, dtype: DType) {
    this.model = model;
    this.dtype = dtype;
  }

  listen(): void {
    const seen = new WeakSet<Tensor>();
    for (const module of this.model.modules()) {
      const own = castParameters(module);
      const hook = (_module: nn.Module, _inputs: unknown[], output: unknown) => {
        const outputs = tensorsIn(output).filter((t) => t.dtype === this.dtype && t.requiresGrad);
        if (outputs.length > 0) for (const parameter of own) this.parameters.add(parameter);
        for (const tensor of outputs) {
          // A container returns what its last child returned.
          if (seen.has(tensor)) continue;
          seen.add(tensor);
          tensor.registerHook((gradient) => this.see(gradient));
        }
        return undefined;
      };
      this.handles.push(module.registerForwardHook(hook, { fused: true }));
    }
  }

  /** Stops watching forward passes and gives the largest |gradient| since `listen`: float32 [1], to be disposed. */
  stop(): Tensor | null {
    for (const handle of this.handles) handle.remove();
    this.handles = [];
    const { peak } = this;
    this.peak = undefined;
    return peak ?? null;
  }

  private see(gradient: Tensor): undefined {
    noGrad(() =>
      scope(() => {
        if (gradient.numel() === 0) return;
        this.peak ??= keep(zeros([1], { dtype: 'float32', device: gradient.device }));
        this.peak.copy_(this.peak.maximum(gradient.detach().abs().max().to({ device: this.peak.device })));
      }),
    );
  }
}

/** The module's own parameters, if one of them is a matrix or a kernel: normalisations keep theirs in float32. */
function castParameters(module: nn.Module): nn.Parameter[] {
  const own = Array.from(module.namedParameters()).flatMap(([name, parameter]) =>
    name.includes('.') ? [] : [parameter],
  );
  return own.some(({ shape }) => shape.length >= 2) ? own : [];
}

function tensorsIn(value: unknown): Tensor[] {
  if (value instanceof Tensor) return [value];
  if (Array.isArray(value)) return value.flatMap(tensorsIn);
  if (typeof value !== 'object' || value === null) return [];
  return Object.values(value).flatMap(tensorsIn);
}

/** On a GPU the number travels to the host beside the work and is read this many updates later. */
const UPDATES_LATER = 2;

interface Travelling {
  host: Tensor;
  bytes: Uint8Array;
  scale: number;
  wait: number;
}

/**
 * Measures the gradients between modules in one update of every `every` and tells a computed scale. The host
 * never waits for it.
 */
class SampledBoundaries implements amp.GradientSource {
  private readonly scaler: GradScaler;
  private readonly gradients: BoundaryGradients;
  private readonly every: number;
  updates: number;
  private listening = false;
  private travelling: Travelling | undefined;

  constructor(model: nn.Module, scaler: GradScaler, every: number, updates: number) {
    this.scaler = scaler;
    this.every = every;
    this.updates = updates;
    this.gradients = new BoundaryGradients(model, 'float16');
    if (updates % every === 0) this.begin();
  }

  collect(scale: number): number | null {
    let found = this.arrived();
    if (this.listening) {
      const peak = this.gradients.stop();
      this.listening = false;
      this.scaler.watch(this.gradients.parameters.size > 0 ? this.gradients.parameters : null);
      if (peak !== null) found = this.send(peak, scale) ?? found;
    }
    this.updates += 1;
    if (this.updates % this.every === 0) this.begin();
    return found;
  }

  close(): void {
    this.gradients.stop()?.dispose();
    this.listening = false;
  }

  private begin(): void {
    this.gradients.listen();
    this.listening = true;
  }

  private send(peak: Tensor, scale: number): number | null {
    try {
      if (peak.device === 'cpu') return Number(peak.item()) / scale;
      const { tensor: host, bytes } = hostMemory(Float32Array.BYTES_PER_ELEMENT, { pinned: true });
      scope(() => viewAs(host, 'float32').copy_(peak, true));
      this.travelling = { host, bytes, scale, wait: UPDATES_LATER };
      return null;
    } finally {
      peak.dispose();
    }
  }

  private arrived(): number | null {
    const { travelling } = this;
    if (travelling === undefined) return null;
    travelling.wait -= 1;
    if (travelling.wait > 0) return null;
    const { bytes, scale, host } = travelling;
    const largest = new DataView(bytes.buffer, bytes.byteOffset).getFloat32(0, true) / scale;
    this.travelling = undefined;
    host.dispose();
    return largest;
  }
}

export interface BoundarySampling extends RemovableHandle {
  /** Updates so far: what a resumed run goes on from. */
  readonly updates: number;
}

/**
 * Lets a computed scale also go by the gradients between the model's modules, measured in every `every`-th update,
 * and by those parameters only whose gradients are made in fp16. Remove the handle when the model is done.
 */
export function sampleBoundaries(
  model: nn.Module,
  scaler: GradScaler,
  { every = 20, updates = 0 }: { every?: number; updates?: number } = {},
): BoundarySampling {
  const source = new SampledBoundaries(model, scaler, every, updates);
  const attached = scaler.attach(source);
  return {
    get updates() {
      return source.updates;
    },
    remove: () => {
      attached.remove();
      source.close();
    },
  };
}
