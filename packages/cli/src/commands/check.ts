import { COMMAND_LINE_OPTIONS, joinLayers, resolveSettings } from '@mezzo/detect/config';
import type { Command } from '../command.ts';
import { openDetector } from '../detector.ts';
import { reportLines } from '../preflight-view.ts';

export const check: Command = {
  name: 'check',
  usage: ['mezzo check [model=yolov8n] [data=DATA.yaml] [imgsz=640] [batch=16] [amp=true] [option=value …]'],
  about:
    'Tries whether this model may be trained in mixed precision on this data and machine, before a training does: ' +
    'forward, loss and backward in float32 and in low precision on one batch, every convolution by itself, and the ' +
    'operations at risk. Without data it makes pictures up. Trains and writes ' +
    'nothing, but keeps the verdict for the next time. ' +
    'Exit code 0 if AMP is sound, also when that takes float32 islands (mezzo train applies them); 1 if it is not, ' +
    'or could not be tried, with the reasons; 2 wrong usage or bad input.',
  examples: [
    [
      'mezzo check model=yolov8n data=data.yaml imgsz=640 batch=16',
      'what mezzo train would do with these options',
    ],
    [
      'mezzo check model=best.safetensors data=data.yaml amp=fp16 device=0',
      'own weights, fp16, the first GPU',
    ],
    ['mezzo check --json', 'for programs'],
  ],
  options: COMMAND_LINE_OPTIONS,
  detector: 'check',
  operands: false,
  run: async ({ assignments, json, terminal }) => {
    const options = await joinLayers('check', assignments);
    const settings = resolveSettings('check', options);
    if (settings.data !== null) {
      // Data that cannot be used are told before anything is installed or loaded.
      const { readDataYaml } = await import('@mezzo/detect');
      await readDataYaml(settings.data, { datasetsDir: settings.datasets_dir, splits: ['train'] });
    }
    const model = await openDetector(settings.model, terminal);
    const report = await model.check({
      ...options,
      onEvent: (event) => {
        if (event.event === 'message') terminal.note(event.text);
      },
    });
    if (json) terminal.print(JSON.stringify(report));
    else for (const line of reportLines(report, terminal)) terminal.print(line);
    return report.ok ? 0 : 1;
  },
};
