const [KIB, MIB, GIB] = [2 ** 10, 2 ** 20, 2 ** 30];

/** A size as people read it: `3.42 GiB`, `118 MiB`. */
export function readableSize(bytes: number): string {
  if (bytes >= GIB) return `${(bytes / GIB).toFixed(2)} GiB`;
  return bytes >= MIB ? `${Math.round(bytes / MIB)} MiB` : `${Math.round(bytes / KIB)} KiB`;
}
