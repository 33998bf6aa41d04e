/** A run of a network so small that preparing it takes milliseconds, for looking at what options do. */
import { writeFileSync } from 'node:fs';
import path from 'node:path';
import { resolveSettings } from '../src/config/index.ts';
import type { TrainEvent } from '../src/engine/event.ts';
import { makeTrainable, openModel } from '../src/engine/model-source.ts';
import { prepareRun } from '../src/engine/prepare.ts';
import type { Run } from '../src/engine/run.ts';
import { createRunFolder } from '../src/engine/run-folder.ts';
import type { TrainOptions } from '../src/index.ts';

/** Five convolutions and a head: strides 8, 16 and 32. */
const NETWORK = `nc: 80
backbone:
  - [-1, 1, Conv, [8, 3, 2]]
  - [-1, 1, Conv, [8, 3, 2]]
  - [-1, 1, Conv, [8, 3, 2]]
  - [-1, 1, Conv, [8, 3, 2]]
  - [-1, 1, Conv, [8, 3, 2]]
head:
  - [[2, 3, 4], 1, Detect, [nc]]
`;

/** Writes the description of the network; returns its path. */
export function tinyNetwork(folder: string): string {
  const file = path.join(folder, 'tiny.yaml');
  writeFileSync(file, NETWORK);
  return file;
}

export interface Prepared {
  run: Run;
  /** Messages and warnings of the preparation. */
  messages: string[];
}

/** Everything of a run before its first step. */
export async function prepareTiny(model: string, options: TrainOptions): Promise<Prepared> {
  const settings = resolveSettings('train', { ...options, model });
  const messages: string[] = [];
  const emit = (event: TrainEvent) => {
    if (event.event === 'message') messages.push(event.text);
  };
  const source = await openModel(settings.model);
  const run = await prepareRun({
    settings,
    emit,
    makeSaveDir: () => createRunFolder('train', settings),
    makeModel: async (data) => (await makeTrainable(source, data, settings)).model,
  });
  return { run, messages };
}
