import { existsSync } from 'node:fs';
import type { YOLO } from '@mezzo/detect';
import { prepareLibTorch } from './libtorch-setup.ts';
import type { Terminal } from './terminal.ts';

/**
 * Opens a model with LibTorch ready. A name that leads nowhere is told before anything is installed; weights that
 * exist need LibTorch to be read.
 */
export async function openDetector(name: string, terminal: Terminal): Promise<YOLO> {
  const { YOLO } = await import('@mezzo/detect');
  const early = existsSync(name) ? undefined : await YOLO.load(name);
  await prepareLibTorch(terminal);
  return early ?? YOLO.load(name);
}
