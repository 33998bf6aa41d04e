/**
 * The deterministic weights and inputs of the reference numbers: a hash of the tensor's name and the element's
 * index, so that a test rebuilds a whole network bit by bit without any stored weight.
 */

/** FNV-1a, 32 bit, over the UTF-8 bytes of `text`. */
export function fnv1a32(text: string): number {
  let hash = 2166136261;
  for (const byte of new TextEncoder().encode(text)) hash = Math.imul(hash ^ byte, 16777619);
  return hash >>> 0;
}

/** 32-bit hash of element `index` (row-major) of the tensor named `key`. */
export function hash32(key: string, index: number): number {
  return mix(fnv1a32(key), index);
}

function mix(keyHash: number, index: number): number {
  let x = keyHash ^ Math.imul(index, 0x9e3779b9);
  x = Math.imul(x ^ (x >>> 16), 0x85ebca6b);
  x = Math.imul(x ^ (x >>> 13), 0xc2b2ae35);
  return (x ^ (x >>> 16)) >>> 0;
}

/** Uniform in [-1, 1), exact in fp32. */
export const signedUnit = (hash: number): number => (hash >>> 8) / 2 ** 23 - 1;

/** Uniform in [0, 1), exact in fp32. */
export const unit = (hash: number): number => (hash >>> 8) / 2 ** 24;

type Value = (u: number, index: number, shape: readonly number[], gain: number) => number;

/** First matching row gives the element's value in float64; it is rounded once to fp32. */
const rules: readonly [matches: (key: string, shape: readonly number[]) => boolean, value: Value][] = [
  [(key) => key.endsWith('num_batches_tracked'), () => 0],
  [(key) => key.endsWith('dfl.conv.weight'), (_u, index) => index],
  [
    (_key, shape) => shape.length === 4,
    (u, _index, shape, gain) => u * (Math.sqrt(3 / (shape[1]! * shape[2]! * shape[3]!)) * gain),
  ],
  [(key) => key.endsWith('running_mean'), (u) => 0.1 * u],
  [(key) => key.endsWith('running_var'), (u) => 1 + 0.25 * u],
  [(key) => key.endsWith('.weight'), (u) => 1 + 0.1 * u],
  [(key) => /^model\.\d+\.cv2\.\d+\.2\.bias$/.test(key), (u, index) => 0.1 * u - 0.4 * (index % 16)],
  [(key) => /^model\.\d+\.cv3\.\d+\.2\.bias$/.test(key), (u) => 0.5 * u - 3],
  [(key) => key.endsWith('bias'), (u) => 0.1 * u],
];

/**
 * Values of the tensor `key` of a network's state dict.
 * @param gain factor on the convolution weights' bound (1.54 for the YOLOv8 reference numbers)
 */
export function formulaWeights(key: string, shape: readonly number[], gain: number): Float32Array {
  const value = rules.find(([matches]) => matches(key, shape))?.[1];
  if (value === undefined) throw new Error(`no formula for '${key}'`);
  const keyHash = fnv1a32(key);
  const values = new Float32Array(shape.reduce((product, size) => product * size, 1));
  for (let i = 0; i < values.length; i++) values[i] = value(signedUnit(mix(keyHash, i)), i, shape, gain);
  return values;
}

/** Image values in [0, 1) of the input named `key`. */
export function formulaInput(key: string, shape: readonly number[]): Float32Array {
  const keyHash = fnv1a32(key);
  const values = new Float32Array(shape.reduce((product, size) => product * size, 1));
  for (let i = 0; i < values.length; i++) values[i] = unit(mix(keyHash, i));
  return values;
}
