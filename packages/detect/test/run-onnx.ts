import assert from 'node:assert/strict';
import { arange, cat, nn, noGrad, ops, scope, type Tensor, tensor, zeros } from '@mezzo/torch';
import { type Attribute, type OnnxFile, TYPES } from './onnx-file.ts';

type Attributes = Record<string, Attribute>;
type Operator = (inputs: Tensor[], attributes: Attributes) => Tensor | Tensor[];

const numbers = (of: Tensor): number[] => Array.from(of.toTypedArray() as Iterable<number | bigint>, Number);
const list = (value: Attribute | undefined): number[] => value as number[];

/** The operators of ONNX as their specification has them, by LibTorch. fp16 is computed in fp32 and rounded. */
const OPERATORS: Record<string, Operator> = {
  Conv: ([x, weight, bias], { strides, pads, dilations, group }) => {
    const [top, left, bottom, right] = list(pads) as [number, number, number, number];
    assert.deepEqual([top, left], [bottom, right]);
    const y = ops.conv2d(
      x!.float(),
      weight!.float(),
      bias?.float() ?? null,
      list(strides),
      [top, left],
      list(dilations),
      group as number,
    );
    return y.to(x!.dtype as 'float32');
  },
  Sigmoid: ([x]) => x!.sigmoid(),
  Add: ([a, b]) => a!.add(b!),
  Sub: ([a, b]) => a!.sub(b!),
  Mul: ([a, b]) => a!.mul(b!),
  MatMul: ([a, b]) => a!.matmul(b!),
  Identity: ([x]) => x!,
  Concat: (inputs, { axis }) => cat(inputs, axis as number),
  Split: ([x, sizes], { axis }) => ops.split_with_sizes(x!, numbers(sizes!), axis as number),
  Slice: ([x, starts, ends, axes, steps]) =>
    numbers(axes!).reduce(
      (part, axis, i) => ops.slice(part, axis, numbers(starts!)[i]!, numbers(ends!)[i]!, numbers(steps!)[i]!),
      x!,
    ),
  Reshape: ([x, shape]) => x!.reshape(numbers(shape!).map((size, i) => (size === 0 ? x!.shape[i]! : size))),
  Transpose: ([x], { perm }) => x!.permute(list(perm)),
  MaxPool: ([x], { kernel_shape, strides, pads }) =>
    nn.functional.maxPool2d(x!, list(kernel_shape) as [number, number], {
      stride: list(strides) as [number, number],
      padding: list(pads).slice(0, 2) as [number, number],
    }),
  Resize: ([x, , scales], { mode, coordinate_transformation_mode, nearest_mode }) => {
    assert.deepEqual(
      [mode, coordinate_transformation_mode, nearest_mode],
      ['nearest', 'asymmetric', 'floor'],
    );
    const [, , vertical, horizontal] = numbers(scales!) as [number, number, number, number];
    return ops.upsample_nearest2d(x!, [x!.shape[2]! * vertical, x!.shape[3]! * horizontal]);
  },
  Softmax: ([x], { axis }) => x!.softmax(axis as number),
  ReduceSum: ([x, axes], { keepdims }) => x!.sum(numbers(axes!), keepdims === 1),
  Cast: ([x], { to }) => x!.to(TYPES[to as number]!),
  Shape: ([x]) => tensor(BigInt64Array.from(x!.shape, BigInt)),
  Gather: ([x, index], { axis }) =>
    index!.shape.length === 0
      ? x!.select(axis as number, numbers(index!)[0]!)
      : ops.index_select(x!, axis as number, index!),
  Range: (inputs) => {
    const [start, limit, step] = inputs.map((input) => numbers(input)[0]!) as [number, number, number];
    return arange(start, limit, step, { dtype: 'int64' });
  },
  Expand: ([x, shape]) => x!.expand(numbers(shape!)),
  Unsqueeze: ([x, axes]) => x!.unsqueeze(numbers(axes!)[0]!),
  Squeeze: ([x, axes]) => x!.squeeze(numbers(axes!)[0]!),
  Equal: ([a, b]) => a!.eq(b!),
  Greater: ([a, b]) => a!.gt(b!),
  Where: ([condition, a, b]) => ops.where(condition!, a!, b!),
  ArgMax: ([x], { axis, keepdims }) => ops.argmax(x!, axis as number, keepdims === 1),
  GatherElements: ([x, index], { axis }) => ops.gather(x!, axis as number, index!),
  ConstantOfShape: ([shape]) => zeros(numbers(shape!)),
  Pad: ([x, pads]) => {
    const amounts = numbers(pads!);
    const half = amounts.length / 2;
    const fromLast = Array.from({ length: half }, (_, i) => [
      amounts[half - 1 - i]!,
      amounts[2 * half - 1 - i]!,
    ]);
    return ops.constant_pad_nd(x!, fromLast.flat());
  },
  TopK: ([x, count], { axis }) => ops.topk(x!, numbers(count!)[0]!, axis as number),
  GatherND: ([x, indices], { batch_dims = 0 }) => {
    if (batch_dims === 1)
      return ops.gather(x!, 1, indices!.expand([...indices!.shape.slice(0, 2), x!.shape[2]!]));
    return ops.take(x!, flatPositions(x!, indices!));
  },
  ScatterND: ([x, indices, updates]) => ops.put(x!, flatPositions(x!, indices!), updates!),
  NonMaxSuppression: ([boxes, scores, most, iou, conf]) =>
    suppression(boxes!, scores!, numbers(most!)[0]!, numbers(iou!)[0]!, numbers(conf!)[0]!),
};

/** Positions in x [B, A] of index pairs [N, 2]. */
const flatPositions = (x: Tensor, pairs: Tensor): Tensor =>
  pairs.select(1, 0).mul(x.shape[1]!).add(pairs.select(1, 1));

function suppression(boxes: Tensor, scores: Tensor, most: number, iou: number, conf: number): Tensor {
  const [images, classes, anchors] = scores.shape as [number, number, number];
  const corners = numbers(boxes);
  const score = numbers(scores);
  const kept: number[] = [];
  const overlap = (a: number, b: number): number => {
    const side = (i: number, k: number) => corners[4 * i + k]!;
    const width = Math.min(side(a, 2), side(b, 2)) - Math.max(side(a, 0), side(b, 0));
    const height = Math.min(side(a, 3), side(b, 3)) - Math.max(side(a, 1), side(b, 1));
    const area = (i: number) => (side(i, 2) - side(i, 0)) * (side(i, 3) - side(i, 1));
    const common = Math.max(width, 0) * Math.max(height, 0);
    return common / (area(a) + area(b) - common);
  };
  for (let image = 0; image < images; image++) {
    for (let id = 0; id < classes; id++) {
      const at = (anchor: number) => score[(image * classes + id) * anchors + anchor]!;
      const order = Array.from({ length: anchors }, (_, i) => i)
        .filter((i) => at(i) > conf)
        .toSorted((a, b) => at(b) - at(a));
      const own: number[] = [];
      for (const anchor of order) {
        if (own.length === most) break;
        const box = image * anchors + anchor;
        if (own.every((other) => overlap(image * anchors + other, box) <= iou)) own.push(anchor);
      }
      for (const anchor of own) kept.push(image, id, anchor);
    }
  }
  return tensor(BigInt64Array.from(kept, BigInt), { shape: [kept.length / 3, 3] });
}

/** Runs the graph of a file on images [B, C, H, W]. */
export function runOnnx(file: OnnxFile, images: Tensor): Tensor {
  return scope(() =>
    noGrad(() => {
      const values: Record<string, Tensor> = { ...file.weights, images };
      for (const { name, type, inputs, outputs, attributes } of file.nodes) {
        const operator = OPERATORS[type];
        assert.ok(operator, `${name}: operator ${type}`);
        const given = inputs.map((input) => (input === '' ? undefined : values[input])) as Tensor[];
        const results = [operator(given, attributes)].flat();
        outputs.forEach((output, i) => {
          assert.ok(values[output] === undefined, `${output} is written twice`);
          values[output] = results[i]!;
        });
      }
      return values.output0!;
    }),
  );
}
