/** A run of a network so small that preparing it takes milliseconds, for looking at what options do. */
import { writeFileSync } from 'node:fs';
import path from 'node:path';
import { resolveSettings } from '../src/config/index.ts';
import { modalitiesOf, shownTo, withFusion } from '../src/engine/dual-source.ts';
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

/** A convolution for each sensor, of infrared with fewer channels, then as above. */
const DUAL = `modalities: {rgb: 3, ir: 3}
backbone:
  - [input, 1, Modality, [rgb]]
  - [-1, 1, Conv, [8, 3, 2]]
  - [input, 1, Modality, [ir]]
  - [-1, 1, Conv, [8, 3, 2]]
  - [[1, 3], 1, Concat, [1]]
  - [-1, 1, Conv, [8, 3, 2]]
  - [-1, 1, Conv, [8, 3, 2]]
  - [-1, 1, Conv, [8, 3, 2]]
  - [-1, 1, Conv, [8, 3, 2]]
head:
  - [[6, 7, 8], 1, Detect, [nc]]
`;

/** Writes the description of a network of two streams; returns its path. */
export function tinyDual(folder: string): string {
  const file = path.join(folder, 'tiny-dual.yaml');
  writeFileSync(file, DUAL);
  return file;
}

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
  const { source } = withFusion(await openModel(settings.model), settings);
  const run = await prepareRun({
    settings,
    shown: shownTo(modalitiesOf(source), settings),
    emit,
    makeSaveDir: () => createRunFolder('train', settings),
    makeModel: async (data) => (await makeTrainable(source, data, settings)).model,
  });
  return { run, messages };
}
