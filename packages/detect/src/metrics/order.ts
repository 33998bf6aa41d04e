const RADIX_BITS = 11;
const BUCKETS = 1 << RADIX_BITS;

/**
 * Indices that put `values` in falling order; equal values keep their order. Values must not be NaN.
 * A radix sort on the bits of the floats: linear in the length, no comparison callbacks.
 */
export function descendingOrder(values: Float32Array | Float64Array): Uint32Array<ArrayBuffer> {
  const n = values.length;
  let order = new Uint32Array(n);
  for (let i = 0; i < n; i++) order[i] = i;
  let spare = new Uint32Array(n);
  for (const keys of radixKeys(values)) {
    for (let shift = 0; shift < 32; shift += RADIX_BITS) {
      scatterByDigit(order, spare, keys, shift);
      [order, spare] = [spare, order];
    }
  }
  return order;
}

/** Unsigned words, least significant first, whose rising order is the falling order of the values. */
function radixKeys(values: Float32Array | Float64Array): Uint32Array[] {
  const n = values.length;
  // adding 0 turns -0 into +0, so that the two count as equal
  if (values instanceof Float32Array) {
    const keys = new Uint32Array(values.map((v) => v + 0).buffer);
    for (let i = 0; i < n; i++) keys[i] = keys[i]! >>> 31 ? keys[i]! : ~keys[i]! & 0x7fffffff;
    return [keys];
  }
  const words = new Uint32Array(values.map((v) => v + 0).buffer);
  const low = new Uint32Array(n);
  const high = new Uint32Array(n);
  for (let i = 0; i < n; i++) {
    const negative = words[2 * i + 1]! >>> 31;
    low[i] = negative ? words[2 * i]! : ~words[2 * i]!;
    high[i] = negative ? words[2 * i + 1]! : ~words[2 * i + 1]! & 0x7fffffff;
  }
  return [low, high];
}

function scatterByDigit(from: Uint32Array, to: Uint32Array, keys: Uint32Array, shift: number): void {
  const starts = new Uint32Array(BUCKETS);
  for (let i = 0; i < from.length; i++) starts[(keys[from[i]!]! >>> shift) & (BUCKETS - 1)]!++;
  let sum = 0;
  for (let bucket = 0; bucket < BUCKETS; bucket++) {
    const size = starts[bucket]!;
    starts[bucket] = sum;
    sum += size;
  }
  for (let i = 0; i < from.length; i++) {
    const index = from[i]!;
    const bucket = (keys[index]! >>> shift) & (BUCKETS - 1);
    to[starts[bucket]!++] = index;
  }
}
