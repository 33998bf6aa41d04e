import { nn, type Tensor } from '@mezzo/torch';
import { Attention, C2PSA, PSABlock } from '../models/attention.ts';
import { Bottleneck, Concat, Conv, SPPF, Upsample } from '../models/blocks.ts';
import { C2f, C3 } from '../models/cross-stage.ts';
import { type Emitter, type Row, row } from './emitter.ts';
import type { Graph, Value } from './graph.ts';

/** How every block is written in ONNX: one row a block. */
export const BLOCKS: readonly Row[] = [
  row(nn.Conv2d, (emitter, conv, x) => convolution(emitter, conv, x, conv.weight, conv.bias)),
  row(Conv, ({ graph, ...emitter }, block, x) => {
    const { weight, bias } = block.folded();
    const y = convolution({ graph, ...emitter }, block.conv, x, weight, bias);
    return block.activation ? graph.add('Mul', [y, graph.add('Sigmoid', [y])]) : y;
  }),
  row(nn.Sequential, ({ emit }, sequence, x) =>
    [...sequence].reduce((value, layer) => emit(layer, value), x),
  ),
  row(Bottleneck, ({ graph, emit }, block, x) => {
    const y = emit(block.cv2, emit(block.cv1, x));
    return block.add ? graph.add('Add', [x, y]) : y;
  }),
  row(C2f, ({ graph, emit }, block, x) => {
    const half = block.cv1.conv.outChannels / 2;
    const parts = graph.split(emit(block.cv1, x), [half, half], 1);
    for (const inner of block.m) parts.push(emit(inner, parts.at(-1)!));
    return emit(block.cv2, graph.add('Concat', parts, { axis: 1 }));
  }),
  row(C3, ({ graph, emit }, block, x) => {
    const deep = emit(block.m, emit(block.cv1, x));
    return emit(block.cv3, graph.add('Concat', [deep, emit(block.cv2, x)], { axis: 1 }));
  }),
  row(Attention, ({ graph, emit }, block, x) => {
    const { heads, keyWidth, valueWidth } = block;
    const mixed = graph.reshape(emit(block.qkv, x), [0, heads, 2 * keyWidth + valueWidth, -1]);
    const parts = graph.split(mixed, [keyWidth, keyWidth, valueWidth], 2);
    const [query, key, value] = parts as [Value, Value, Value];
    // Scaled before the product, as in the model: that could overflow in fp16.
    const scaled = inFloat(graph, query, (wide) => graph.add('Mul', [wide, graph.number(keyWidth ** -0.5)]));
    const scores = graph.add('MatMul', [graph.add('Transpose', [scaled], SWAP), key]);
    const shares = inFloat(graph, scores, (wide) => graph.add('Softmax', [wide], { axis: -1 }));
    const size = graph.add('Shape', [x]);
    const attended = graph.add('MatMul', [value, graph.add('Transpose', [shares], SWAP)]);
    const place = emit(block.pe, graph.add('Reshape', [value, size]));
    return emit(block.proj, graph.add('Add', [graph.add('Reshape', [attended, size]), place]));
  }),
  row(PSABlock, ({ graph, emit }, block, x) => {
    const attended = graph.add('Add', [x, emit(block.attn, x)]);
    return graph.add('Add', [attended, emit(block.ffn, attended)]);
  }),
  row(C2PSA, ({ graph, emit }, block, x) => {
    const half = block.cv1.conv.outChannels / 2;
    const [by, through] = graph.split(emit(block.cv1, x), [half, half], 1) as [Value, Value];
    return emit(block.cv2, graph.add('Concat', [by, emit(block.m, through)], { axis: 1 }));
  }),
  row(SPPF, ({ graph, emit }, block, x) => {
    const parts = [emit(block.cv1, x)];
    const side = block.kernel;
    const pool = {
      kernel_shape: [side, side],
      strides: [1, 1],
      pads: Array<number>(4).fill(Math.floor(side / 2)),
    };
    for (let i = 0; i < 3; i++) parts.push(graph.add('MaxPool', [parts.at(-1)!], pool));
    return emit(block.cv2, graph.add('Concat', parts, { axis: 1 }));
  }),
  row(Upsample, ({ graph }, { factor }, x) => {
    const scales = graph.floats(`scales_${factor}`, Float32Array.of(1, 1, factor, factor), [4]);
    return graph.add('Resize', [x, '', scales], {
      mode: 'nearest',
      nearest_mode: 'floor',
      coordinate_transformation_mode: 'asymmetric',
    });
  }),
  row(Concat, ({ graph }, _, __, inputs) => graph.add('Concat', inputs, { axis: 1 })),
];

/** The last two of four dimensions change places. */
const SWAP = { perm: [0, 1, 3, 2] };

/** A step in fp32 whatever the network's precision. */
function inFloat(graph: Graph, value: Value, step: (wide: Value) => Value): Value {
  if (graph.precision === 'float32') return step(value);
  return graph.cast(step(graph.cast(value, 'float32')), graph.precision);
}

function convolution(
  { graph, nameOf }: Emitter,
  conv: nn.Conv2d,
  x: Value,
  weight: Tensor,
  bias: Tensor | null,
): Value {
  const name = nameOf(conv);
  const [top, left] = conv.padding as readonly [number, number];
  const inputs = [x, graph.weight(`${name}.weight`, weight)];
  if (bias !== null) inputs.push(graph.weight(`${name}.bias`, bias));
  return graph.add('Conv', inputs, {
    kernel_shape: conv.kernelSize,
    strides: conv.stride,
    pads: [top, left, top, left],
    dilations: conv.dilation,
    group: conv.groups,
  });
}
