import { MezzoError, scope } from '@mezzo/torch';
import { AnchorDetect } from '../models/anchor-detect.ts';
import type { DetectionModel } from '../models/build.ts';
import { BLOCKS } from './blocks.ts';
import { emitterFor } from './emitter.ts';
import { FUSION } from './fusion.ts';
import { Graph, type Value } from './graph.ts';
import { HalfFit, type HalfReport } from './half-fit.ts';
import { HEADS } from './heads.ts';
import { type MetadataOptions, onnxMetadata } from './metadata.ts';
import { type Dimension, modelMessage, valueMessage } from './onnx-messages.ts';
import { type SuppressionOptions, writeSuppression } from './suppression.ts';

/** No protobuf reader takes more. */
const LARGEST_FILE = 2 ** 31 - 1;

export interface OnnxOptions extends Omit<MetadataOptions, 'nms'> {
  /** Suppression as a part of the graph; null leaves it to the reader. */
  readonly nms: SuppressionOptions | null;
}

export interface OnnxModel {
  /** The bytes of the file, in parts. */
  readonly chunks: readonly Uint8Array[];
  readonly bytes: number;
  readonly input: { readonly name: string; readonly shape: readonly Dimension[] };
  readonly output: { readonly name: string; readonly shape: readonly Dimension[] };
  /** How the weights fare in fp16, where they are. */
  readonly half: HalfReport | null;
}

/**
 * A detector as an ONNX model: `images` [B, ch, H, W] in 0 … 1 to `output0` [B, 4 + C, A] (centre x, centre y, width and
 * height in pixels, then probabilities), or [B, maxDet, 6] with suppression. BatchNorm is folded. With `half` the
 * network is fp16; input, output and the decoding of boxes stay fp32.
 * @throws {MezzoError} HALF_RANGE, UNSUPPORTED_EXPORT
 */
export function onnxModel(model: DetectionModel, options: OnnxOptions): OnnxModel {
  const { imgsz, batch, dynamic, nms, half } = options;
  const fit = new HalfFit();
  const graph = new Graph(
    half ? 'float16' : 'float32',
    half ? (name, tensor) => fit.add(name, tensor) : undefined,
  );
  const predictions = scope(() => writeNetwork(graph, model, dynamic ? null : imgsz));
  const report = half ? fit.report() : null;
  const result = nms === null ? predictions : writeSuppression(graph, predictions, model.nc, nms);
  graph.name(result, 'output0');

  const size = (fixed: number, name: string): Dimension => (dynamic ? name : fixed);
  const perCell = model.head instanceof AnchorDetect ? model.head.perCell : 1;
  const anchors = model.strides.reduce((sum, stride) => sum + perCell * (imgsz / stride) ** 2, 0);
  const inputShape = [size(batch, 'batch'), model.ch, size(imgsz, 'height'), size(imgsz, 'width')];
  const outputShape =
    nms === null
      ? [size(batch, 'batch'), 4 + model.nc, size(anchors, 'anchors')]
      : [size(batch, 'batch'), nms.maxDet, 6];
  const { chunks, byteLength } = modelMessage({
    name: model.description.name,
    opset: options.opset,
    producer: 'Mezzo',
    producerVersion: options.version,
    nodes: graph.nodes,
    initialisers: graph.initialisers,
    inputs: [valueMessage('images', 'float32', inputShape)],
    outputs: [valueMessage('output0', 'float32', outputShape)],
    metadata: onnxMetadata(model, { ...options, nms: nms !== null }),
  });
  if (byteLength > LARGEST_FILE) {
    throw new MezzoError(
      'UNSUPPORTED_EXPORT',
      `an ONNX file holds at most 2 GiB; this would be ${byteLength} bytes`,
    );
  }
  return {
    chunks,
    bytes: byteLength,
    input: { name: 'images', shape: inputShape },
    output: { name: 'output0', shape: outputShape },
    half: report,
  };
}

/** The layers, in the order and with the connections of the description. */
function writeNetwork(graph: Graph, model: DetectionModel, imgsz: number | null): Value {
  const emitter = emitterFor({ graph, imgsz }, model, [...BLOCKS, ...FUSION, ...HEADS]);
  const images = graph.precision === 'float32' ? 'images' : graph.cast('images', 'float16');
  const outputs: Value[] = [];
  const read = (index: number): Value => (index < 0 ? images : outputs[index]!);
  for (const { index, from } of model.description.layers) {
    outputs.push(emitter.emitAll(model.model.at(index), from.map(read)));
  }
  return outputs.at(-1)!;
}
