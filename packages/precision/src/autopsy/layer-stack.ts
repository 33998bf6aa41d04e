import type { nn, RemovableHandle } from '@mezzo/torch';

/** Knows in which layer's forward the program is, while it is installed on a model. */
export class LayerStack {
  private readonly handles: RemovableHandle[];
  private readonly names: string[] = [];

  /** @param entered called when the forward of a module begins */
  constructor(model: nn.Module, entered: (name: string) => void = () => {}) {
    this.handles = Array.from(model.namedModules(), ([name, module]) =>
      module.aroundForward((proceed, inputs) => {
        this.names.push(name);
        try {
          entered(name);
          return proceed(...inputs);
        } finally {
          this.names.pop();
        }
      }),
    );
  }

  /** The innermost layer, '' for the model itself; null outside the model. */
  get current(): string | null {
    return this.names.at(-1) ?? null;
  }

  remove(): void {
    for (const handle of this.handles) handle.remove();
  }
}
