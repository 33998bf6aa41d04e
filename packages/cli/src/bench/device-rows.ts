import { fusionModel } from '@mezzo/detect';
import { MezzoError } from '@mezzo/libtorch/errors';
import { largestFitting } from './batch-search.ts';
import { DeviceStep, type DeviceStepOptions } from './device-step.ts';
import type { BenchRow } from './report.ts';
import { type BenchOptions, row } from './suite.ts';

/** What is measured on a device. */
export interface DeviceBench extends Pick<BenchOptions, 'imgsz' | 'batch' | 'rounds' | 'note'> {
  device: string;
  /** The network of most rows, and one that is large enough to fill the device. */
  model: string | object;
  large: string | object;
  /** A network of two streams. */
  dual: string | object;
  stepsARound: number;
}

/** Half of the batch in fp32 against twice of it with AMP. */
const BATCH_FACTOR = 2;
const LARGEST_BATCH = 4096;

type Variant = Pick<DeviceStepOptions, 'amp' | 'channelsLast' | 'tf32'>;
const AMP: Variant = { amp: true, channelsLast: true, tf32: false };
const FP32: Variant = { amp: 'fp32', channelsLast: false, tf32: false };

/** The network of two streams that the rows are about: fusion in the middle, of colour and infrared. */
export const dualMid = (): object =>
  fusionModel({ fusion: 'mid', blocks: 'yolov8', scale: 'n', channels: [3, 3], nc: 80 }).table;

/** Training steps on a device: time and memory of AMP against fp32, batches, growth with the batch. */
export function deviceRows(bench: DeviceBench): BenchRow[] {
  return [
    ...ampRows(bench),
    ...largeRows(bench),
    batchRow(bench, 'largest batch', bench.model),
    batchRow(bench, 'largest batch, dual mid', bench.dual),
    ...scalingRows(bench),
  ];
}

function ampRows(bench: DeviceBench): BenchRow[] {
  const { batch, note } = bench;
  const amp = started(bench, bench.model, AMP);
  const others: [name: string, variant: Variant][] = [
    ['fp32, TF32 off', FP32],
    ['fp32, TF32 on', { ...FP32, tf32: true }],
    ['bf16', { ...AMP, amp: 'bf16' }],
  ];
  return others.flatMap(([b, variant]) => {
    note(`AMP against ${b}`);
    const other = started(bench, bench.model, variant);
    const named = { a: 'AMP, channels_last', b };
    const time = row(`time: AMP / ${b}`, 's', named, inTurns(bench, amp, other, batch, batch));
    const bytes = { a: [peak(amp, batch)], b: [peak(other, batch)] };
    return [time, row(`memory: AMP / ${b}`, 'bytes', named, bytes)];
  });
}

/** Where AMP pays most: a large network, and a batch that fp32 has no room for. */
function largeRows(bench: DeviceBench): BenchRow[] {
  const small = Math.max(1, Math.floor(bench.batch / BATCH_FACTOR));
  const large = bench.batch * BATCH_FACTOR;
  bench.note(`large network: AMP at batch ${large} against fp32 at batch ${small}`);
  const amp = started(bench, bench.large, AMP);
  const fp32 = started(bench, bench.large, FP32);
  const named = { a: `AMP, channels_last, batch ${large}`, b: `fp32, TF32 off, batch ${small}` };
  const seconds = inTurns(bench, amp, fp32, large, small);
  const rates = {
    a: seconds.a.map((value) => large / value),
    b: seconds.b.map((value) => small / value),
  };
  const bytes = { a: [peak(amp, large) / large], b: [peak(fp32, small) / small] };
  return [
    row('large network: AMP / fp32', 'img/s', named, rates),
    row('large network, memory: AMP / fp32', 'bytes', named, bytes),
  ];
}

/** The largest batch that AMP trains in the memory that fp32 needs. */
function batchRow(bench: DeviceBench, name: string, model: string | object): BenchRow {
  const { batch, note } = bench;
  note(`${name} in the memory of fp32 at batch ${batch}`);
  const room = peak(started(bench, model, FP32), batch);
  const amp = started(bench, model, AMP);
  const fits = (count: number) => {
    const bytes = amp.peakBytes(count);
    return bytes !== null && bytes <= room;
  };
  const found = largestFitting(fits, batch, LARGEST_BATCH);
  const sides = { a: 'AMP, channels_last', b: 'fp32, TF32 off' };
  return row(`${name} in the same memory: AMP / fp32`, 'images', sides, { a: [found], b: [batch] });
}

/** Time and memory of an image at each batch against those at half of it: flat or falling is 1 or less. */
function scalingRows(bench: DeviceBench): BenchRow[] {
  const amp = started(bench, bench.model, AMP);
  const rows: BenchRow[] = [];
  for (let batch = 2; batch <= BATCH_FACTOR * bench.batch; batch *= 2) {
    const half = batch / 2;
    bench.note(`an image at batch ${batch} against batch ${half}`);
    const sides = { a: `AMP, batch ${batch}`, b: `AMP, batch ${half}` };
    const seconds = inTurns(bench, amp, amp, batch, half);
    const each = {
      a: seconds.a.map((value) => value / batch),
      b: seconds.b.map((value) => value / half),
    };
    rows.push(row(`time an image: batch ${batch} / ${half}`, 's', sides, each));
    const bytes = { a: [peak(amp, batch) / batch], b: [peak(amp, half) / half] };
    rows.push(row(`memory an image: batch ${batch} / ${half}`, 'bytes', sides, bytes));
  }
  return rows;
}

function started({ device, imgsz }: DeviceBench, model: string | object, variant: Variant): DeviceStep {
  return new DeviceStep({ model, device, imgsz, ...variant });
}

function inTurns(
  { rounds, stepsARound }: DeviceBench,
  a: DeviceStep,
  b: DeviceStep,
  batchA: number,
  batchB: number,
): { a: number[]; b: number[] } {
  const samples = { a: [] as number[], b: [] as number[] };
  for (let round = 0; round < rounds; round++) {
    samples.a.push(a.seconds(batchA, stepsARound));
    samples.b.push(b.seconds(batchB, stepsARound));
  }
  return samples;
}

function peak(step: DeviceStep, batch: number): number {
  const bytes = step.peakBytes(batch);
  if (bytes !== null) return bytes;
  throw new MezzoError('OUT_OF_MEMORY', `the device has no room for a step at batch ${batch}`, {
    hint: 'give a smaller batch=',
  });
}
