/** Memory of one batch of pictures: 8-bit, interleaved, picture after picture. */
export interface ImageMemory {
  readonly bytes: Uint8Array;
  /** Gives the memory back for a later batch; its content is lost. */
  release(): void;
}

/** Gives memory of a size in bytes. Training passes one whose blocks LibTorch reads; `plainMemory` is JavaScript's. */
export type Allocate<M extends ImageMemory> = (size: number) => M;

/** An allocator of ordinary memory whose blocks are used again. */
export function plainMemory(): Allocate<ImageMemory> {
  const free: Uint8Array[] = [];
  return (size) => {
    const index = free.findIndex(({ length }) => length >= size);
    const block = index >= 0 ? free.splice(index, 1)[0]! : new Uint8Array(size);
    return { bytes: block.subarray(0, size), release: () => free.push(block) };
  };
}
