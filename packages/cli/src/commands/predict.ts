import type { TrainEvent, YOLO } from '@mezzo/detect';
import { COMMAND_LINE_OPTIONS, joinLayers, type PredictOptions, resolveSettings } from '@mezzo/detect/config';
import type { Call, Command } from '../command.ts';
import { openDetector } from '../detector.ts';
import { UsageError } from '../failure.ts';
import { counted } from '../number-format.ts';
import { speedLine } from '../validation-table.ts';

export const predict: Command = {
  name: 'predict',
  usage: ['mezzo predict model=WEIGHTS.safetensors source=PICTURES [option=value …]'],
  about:
    'Finds objects in pictures. Pictures with boxes and labels go to runs/detect/predict (predict2, …), and with ' +
    'save_txt, save_crop text files and cut-outs. With --json one line a picture: boxes in pixels of the original.',
  examples: [
    ['mezzo predict model=best.safetensors source=bus.jpg', 'one picture'],
    ["mezzo predict model=best.safetensors source='images/*.jpg' conf=0.5 classes=0,2", 'many, two classes'],
    ['mezzo predict model=best.safetensors source=images save=false --json', 'boxes only, as JSON lines'],
  ],
  options: COMMAND_LINE_OPTIONS,
  detector: 'predict',
  operands: 'pictures',
  run: async (call) => runPrediction(call, await joinLayers('predict', call.assignments)),
};

/** Finds objects with the options of a command line, and prints a line a picture. */
export async function runPrediction(
  { operands, json, terminal }: Call,
  options: PredictOptions,
  check: (model: YOLO) => void = () => {},
): Promise<number> {
  const settings = resolveSettings('predict', options);
  if (settings.model === null) throw new UsageError('USAGE', 'model= is missing: the weights to use');
  const sources = settings.source === null ? operands : [settings.source, ...operands];
  if (sources.length === 0 && settings.source_ir === null) {
    throw new UsageError('USAGE', 'source= is missing: an image, a folder, a pattern or a .txt list');
  }
  const model = await openDetector(settings.model, terminal);
  check(model);
  const { source: _, ...rest } = options;
  const onEvent = (event: TrainEvent) => {
    if (event.event === 'message') terminal.note(event.text);
  };
  let pictures = 0;
  let saveDir: string | undefined;
  const totals = { preprocess: 0, inference: 0, postprocess: 0 };
  const source = sources.length === 1 ? sources[0]! : sources;
  for await (const result of model.stream(source, { ...rest, onEvent })) {
    pictures++;
    saveDir = result.saveDir;
    for (const name of ['preprocess', 'inference', 'postprocess'] as const)
      totals[name] += result.speed[name];
    if (json) terminal.print(JSON.stringify(result));
    else if (settings.verbose) terminal.print(`image ${pictures} ${result.summary()}`);
  }
  if (json) return 0;
  const means = Object.entries(totals).map(
    ([name, seconds]) => [name, seconds / Math.max(pictures, 1)] as const,
  );
  terminal.print(speedLine(Object.fromEntries(means)));
  if (saveDir !== undefined)
    terminal.print(`${counted(pictures, 'picture')} saved to ${terminal.bold(saveDir)}`);
  return 0;
}
