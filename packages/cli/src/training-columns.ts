import type { EpochEvent, StepEvent } from '@mezzo/detect';
import { general, gibibytes } from './number-format.ts';

const WIDTH = 11;

function row(cells: readonly string[]): string {
  return cells.map((cell) => cell.padStart(WIDTH)).join('');
}

/** Ultralytics' training header, with the loss scale and the skipped steps when a scaler is at work. */
export function stepHeader(losses: readonly string[], device: string, scaler: boolean): string {
  const memory = device === 'cpu' ? 'Memory' : 'GPU_mem';
  const scale = scaler ? ['Scale', 'Skipped'] : [];
  return row(['Epoch', memory, ...losses.map((name) => `${name}_loss`), 'Instances', 'Size', ...scale]);
}

export function stepRow(event: StepEvent): string {
  const { epoch, epochs, memoryBytes, losses, instances, size, scale, skipped } = event;
  const scaler = scale === undefined ? [] : [general(scale, 6), String(skipped ?? 0)];
  return row([
    `${epoch}/${epochs}`,
    gibibytes(memoryBytes),
    ...Object.values(losses).map((loss) => general(loss)),
    String(instances),
    String(size),
    ...scaler,
  ]);
}

/** The header of the lines that are written where nobody watches: one for each epoch. */
export function epochHeader(losses: readonly string[], scaler: boolean): string {
  const scale = scaler ? ['Scale', 'Skipped'] : [];
  const names = losses.map((name) => `${name}_loss`);
  return row(['Epoch', 'Memory', ...names, ...scale, 'P', 'R', 'mAP50', 'mAP50-95', 'Seconds', 'Images/s']);
}

export function epochRow(event: EpochEvent): string {
  const { epoch, epochs, peakBytes, losses, scale, skipped, precision, recall, map50, map } = event;
  return row([
    `${epoch}/${epochs}`,
    gibibytes(peakBytes),
    ...Object.values(losses).map((loss) => general(loss)),
    ...(scale === null ? [] : [general(scale, 6), String(skipped)]),
    ...[precision, recall, map50, map].map((part) => general(part, 3)),
    event.seconds.toFixed(1),
    event.imagesPerSecond.toFixed(1),
  ]);
}
