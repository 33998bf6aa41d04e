import type { YOLO } from '@mezzo/detect';
import { COMMAND_LINE_OPTIONS, joinLayers, resolveSettings, type ValOptions } from '@mezzo/detect/config';
import { cocoTable } from '../coco-table.ts';
import type { Call, Command } from '../command.ts';
import { openDetector } from '../detector.ts';
import { UsageError } from '../failure.ts';
import { ProgressBar } from '../progress.ts';
import { speedLine, tableWidths, validationTable } from '../validation-table.ts';

export const val: Command = {
  name: 'val',
  usage: ['mezzo val model=WEIGHTS.safetensors [data=DATA.yaml] [option=value …]'],
  about:
    'Measures a detector on the val split: precision, recall, mAP50 and mAP50-95, of all classes and of each. ' +
    'Curves, confusion matrices and sample pictures go to runs/detect/val (val2, …).',
  examples: [
    ['mezzo val model=runs/detect/train/weights/best.safetensors', 'on the data of its training run'],
    ['mezzo val model=best.safetensors data=data.yaml split=test --coco', 'with the twelve COCO numbers'],
  ],
  options: COMMAND_LINE_OPTIONS,
  detector: 'val',
  operands: false,
  run: async (call) => runValidation(call, await joinLayers('val', call.assignments)),
};

/** Measures with the options of a command line, and prints the table. */
export async function runValidation(
  { json, terminal }: Call,
  options: ValOptions,
  check: (model: YOLO) => void = () => {},
): Promise<number> {
  const settings = resolveSettings('val', options);
  if (settings.model === null) throw new UsageError('USAGE', 'model= is missing: the weights to measure');
  const model = await openDetector(settings.model, terminal);
  check(model);
  const bar = new ProgressBar(terminal);
  const metrics = await model.val({
    ...options,
    onEvent: (event) => {
      if (event.event === 'valStep' && !json) bar.update('Validating', event.step, event.steps);
      if (event.event === 'message') terminal.note(event.text);
    },
  });
  const summary = metrics.summary();
  if (json) {
    terminal.print(JSON.stringify(summary));
    return 0;
  }
  for (const line of validationTable(summary, settings.verbose, tableWidths(terminal))) terminal.print(line);
  if (summary.coco !== undefined) for (const line of cocoTable(summary.coco)) terminal.print(line);
  terminal.print(speedLine({ ...summary.speed }));
  if (summary.saveDir !== undefined) terminal.print(`Results saved to ${terminal.bold(summary.saveDir)}`);
  return 0;
}
