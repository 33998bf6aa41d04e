/**
 * A training in a process of its own, an epoch at a time. Takes the settings of the training as JSON and, a line "N" at a
 * time, answers with the seconds of N epochs. In between the training waits; it ends with its input. One epoch goes first.
 */
import { readSync, writeSync } from 'node:fs';
import { type TrainEvent, YOLO } from '@mezzo/detect';
import { cuda } from '@mezzo/torch';

// Never reached: mosaic would end ten epochs before.
const EPOCHS = 10_000;
const [STDIN, STDOUT] = [0, 1];

const { model, ...settings } = JSON.parse(process.argv[2]!) as { model: string; data: string };
let samples: number[] = [];
let wanted = 0;
let begun: number | undefined;

const answer = (document: object): number => writeSync(STDOUT, `${JSON.stringify(document)}\n`);

/** Blocks the training until epochs are asked for. */
function waitForCommand(): void {
  const line = Buffer.alloc(64);
  const length = readSync(STDIN, line);
  if (length === 0) process.exit();
  samples = [];
  wanted = Number(line.toString('utf8', 0, length));
}

function onEvent({ event }: TrainEvent): void {
  if (event !== 'epoch') return;
  if (cuda.isAvailable()) cuda.synchronize();
  if (begun === undefined) {
    answer({ ready: true });
    waitForCommand();
  } else {
    samples.push((performance.now() - begun) / 1000);
    if (samples.length === wanted) {
      answer({ samples });
      waitForCommand();
    }
  }
  begun = performance.now();
}

const detector = await YOLO.load(model);
await detector.train({ ...settings, epochs: EPOCHS, patience: EPOCHS, save: false, plots: false, onEvent });
