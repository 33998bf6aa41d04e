import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import type { BenchRow } from './report.ts';
import { peerModel, SideProcess } from './side-process.ts';
import { alternate, type BenchOptions, requireData, row, type Suite } from './suite.ts';

/** A training that is compared: with Mezzo's options, or the peer's. */
export interface EpochSide {
  name: string;
  peer: boolean;
  settings: Readonly<Record<string, boolean | string | number>>;
}

const AMP: EpochSide = { name: 'Mezzo, AMP', peer: false, settings: {} };
const FP32: EpochSide = { name: 'Mezzo, fp32', peer: false, settings: { amp: false } };
const REFERENCE: EpochSide = { name: 'Ultralytics, default', peer: true, settings: {} };

/** Seconds of a training epoch: loader, steps, validation. */
export const epochSuite: Suite = {
  name: 'epoch',
  about: 'a training epoch with loader and validation: AMP against fp32, and against the reference as it is',
  size: { imgsz: 320, batch: 16 },
  async run(options) {
    const data = await requireData('epoch', options);
    const pairs: (readonly [EpochSide, EpochSide])[] = [[AMP, FP32]];
    if (options.peerPython !== null) pairs.push([AMP, REFERENCE]);
    const rows: BenchRow[] = [];
    for (const [a, b] of pairs) {
      const samples = await alternateEpochs(a, b, { ...options, data, device: 'cpu' });
      rows.push(row(`epoch: ${a.name} / ${b.name}`, 's', { a: a.name, b: b.name }, samples));
    }
    return rows;
  },
};

/** Epochs of two trainings by turns; while one computes, the other waits. */
export async function alternateEpochs(
  a: EpochSide,
  b: EpochSide,
  options: BenchOptions & { data: string; device: string },
): Promise<{ a: number[]; b: number[] }> {
  options.note(`${a.name} against ${b.name}`);
  const folder = mkdtempSync(path.join(tmpdir(), 'mezzo-bench-'));
  const sides: SideProcess[] = [];
  try {
    for (const side of [a, b]) sides.push(await startEpochs(side, folder, options));
    const [first, second] = sides as [SideProcess, SideProcess];
    return await alternate(
      options.rounds,
      () => first.measure(1),
      () => second.measure(1),
    );
  } finally {
    for (const side of sides) await side.stop();
    rmSync(folder, { recursive: true });
  }
}

function startEpochs(
  { peer, settings }: EpochSide,
  folder: string,
  { model, data, imgsz, batch, threads, device, peerPython }: BenchOptions & { data: string; device: string },
): Promise<SideProcess> {
  if (!peer) {
    const given = { model, data, imgsz, batch, device, project: folder, ...settings };
    return SideProcess.node('epoch-side.js', given, threads);
  }
  const words = ['--model', peerModel(model), '--data', data, '--imgsz', imgsz, '--batch', batch];
  // The peer counts its devices as 0, 1, …
  const place = ['--threads', threads, '--device', device.replace('cuda:', '')];
  const args = [...words, ...place, '--settings', JSON.stringify(settings)].map(String);
  return SideProcess.python(peerPython!, 'epoch.py', args);
}
