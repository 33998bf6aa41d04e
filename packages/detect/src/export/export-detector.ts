import { readFileSync, statSync } from 'node:fs';
import path from 'node:path';
import { MezzoError, scope, type Tensor, writeFileAtomically } from '@mezzo/torch';
import { type ExportOptions, type ExportSettings, resolveSettings } from '../config/index.ts';
import type { Decoding } from '../data/decode-as.ts';
import { type CheckpointContents, identityOf, writeWeights } from '../engine/checkpoint.ts';
import { decodingOf, type ModelSource } from '../engine/model-source.ts';
import type { DetectionModel } from '../models/build.ts';
import { type WrittenFormat, writtenFormat } from './formats.ts';
import { HalfFit, type HalfReport } from './half-fit.ts';
import { type OnnxModel, type OnnxOptions, onnxModel } from './onnx.ts';
import { type Verification, verifyOnnx } from './verify.ts';

/** What an export wrote, and how it was checked. */
export interface ExportReport {
  readonly format: WrittenFormat;
  readonly file: string;
  readonly bytes: number;
  readonly model: string;
  readonly names: readonly string[];
  /** Set when the weights are fp16. */
  readonly half: HalfReport | null;
  /** Of ONNX: the operator set, and names and shapes of input and output. */
  readonly onnx: (Pick<OnnxModel, 'input' | 'output'> & { readonly opset: number }) | null;
  /** Null where there is nothing to run. */
  readonly verification: Verification | null;
}

/**
 * Writes a detector as ONNX (checked with onnxruntime where that is installed) or as plain safetensors weights.
 * @throws {ConfigError} for options, and for formats that other programs make
 * @throws {MezzoError} HALF_RANGE, UNSUPPORTED_EXPORT, EXPORT_MISMATCH, WRITE_FAILED; nothing is written then
 */
export async function exportDetector(
  source: ModelSource,
  network: () => DetectionModel,
  options: ExportOptions,
): Promise<ExportReport> {
  const settings = resolveSettings('export', options);
  const stem = source.kind === 'weights' ? source.file.replace(/\.\w+$/, '') : path.parse(source.name).name;
  const format = exportFormat(settings, source.kind === 'weights' ? source.file : source.name);
  const file = settings.out ?? stem + endings(settings)[format];
  if (source.kind === 'weights' && path.resolve(file) === path.resolve(source.file)) {
    throw new MezzoError('USAGE', `${file} is the file that is read`, { hint: 'name another with out=' });
  }
  const model = network().to({ device: 'cpu', memoryFormat: 'contiguous' }).eval();
  return format === 'safetensors'
    ? exportWeights(source, model, settings, file)
    : exportOnnx(model, settings, file, decodingOf(source));
}

/** How the names of files end that are not named otherwise. */
const endings = ({ half }: ExportSettings): Readonly<Record<WrittenFormat, string>> => ({
  onnx: '.onnx',
  safetensors: `-${half ? 'fp16' : 'fp32'}.safetensors`,
});

/** The format to write. @throws {ConfigError} for one that is not written here, before anything is loaded */
export function exportFormat(settings: ExportSettings, model: string): WrittenFormat {
  const { format, batch, imgsz } = settings;
  const side = Math.ceil(imgsz / 32) * 32;
  return writtenFormat(format, { model, stem: path.parse(model).name, shape: [batch, 3, side, side] });
}

async function exportOnnx(
  model: DetectionModel,
  settings: ExportSettings,
  file: string,
  decoding: Decoding,
): Promise<ExportReport> {
  const { batch, dynamic, half, opset, nms, conf, iou, max_det, agnostic_nms } = settings;
  const step = Math.max(...model.strides);
  const options: OnnxOptions = {
    ...{ batch, dynamic, half, opset, version: ownVersion() },
    imgsz: Math.ceil(settings.imgsz / step) * step,
    nms: nms ? { conf, iou, maxDet: max_det, agnostic: agnostic_nms } : null,
  };
  const made = onnxModel(model, options);
  const verification = await verifyOnnx(model, made, options, settings.source, decoding);
  writeFileAtomically(file, Buffer.concat(made.chunks));
  const { input, output, bytes } = made;
  return {
    ...{ format: 'onnx', file, bytes, model: model.description.name, names: model.names, half: made.half },
    onnx: { opset, input, output },
    verification,
  };
}

function exportWeights(
  source: ModelSource,
  model: DetectionModel,
  { half }: ExportSettings,
  file: string,
): ExportReport {
  const fit = new HalfFit();
  const state = model.stateDict();
  if (half)
    for (const [name, tensor] of Object.entries(state)) if (tensor.isFloatingPoint()) fit.add(name, tensor);
  const report = half ? fit.report() : null;
  scope(() => {
    const weights = half ? halved(state) : state;
    writeWeights(file, { ...contentsOf(source, model), weights });
  });
  const bytes = statSync(file).size;
  return {
    ...{
      format: 'safetensors',
      file,
      bytes,
      model: model.description.name,
      names: model.names,
      half: report,
    },
    onnx: null,
    verification: null,
  };
}

const halved = (state: Readonly<Record<string, Tensor>>): Record<string, Tensor> =>
  Object.fromEntries(
    Object.entries(state).map(([name, tensor]) => [name, tensor.isFloatingPoint() ? tensor.half() : tensor]),
  );

function contentsOf(source: ModelSource, model: DetectionModel): Omit<CheckpointContents, 'weights'> {
  if (source.kind === 'table') return { identity: identityOf(model), data: null, epoch: 0, map50: 0, map: 0 };
  const { weights: _, training: __, ...contents } = source.contents;
  return contents;
}

function ownVersion(): string {
  const text = readFileSync(new URL('../../../package.json', import.meta.url), 'utf8');
  return (JSON.parse(text) as { version: string }).version;
}
