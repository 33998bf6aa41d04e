import { COMMAND_LINE_OPTIONS, joinLayers, resolveSettings } from '@mezzo/detect/config';
import type { Command } from '../command.ts';
import { openDetector } from '../detector.ts';
import { showRecording } from '../recording.ts';

export const explain: Command = {
  name: 'explain',
  usage: ['mezzo explain [model=MODEL] [data=DATA.yaml] [option=value …]'],
  about:
    'Explains the precision of one training step: for every layer and operator the dtypes, the rule that chose them, ' +
    'the casts with their bytes and time, and whether convolutions and matrix products use the matrix units of the ' +
    'machine. Data that is cast back and forth is listed with the rule that saves it. Without data= the pictures are ' +
    'made up. Nothing is trained. With recorder= it shows the file of a flight recorder instead.',
  examples: [
    ['mezzo explain model=yolov8n imgsz=320 batch=8 --out explain.html', 'a page to read and search'],
    [
      'mezzo explain model=best.safetensors data=data.yaml amp=bf16 --gradients',
      'with the gradients of each layer',
    ],
    ['mezzo explain --recorder run.json --out run.html', 'what the flight recorder of a training kept'],
  ],
  options: COMMAND_LINE_OPTIONS,
  detector: 'explain',
  operands: false,
  run: async ({ assignments, json, terminal }) => {
    const options = await joinLayers('explain', assignments);
    const settings = resolveSettings('explain', options);
    if (settings.recorder !== null) return showRecording(settings.recorder, settings.out, json, terminal);
    const { explanationJson, explanationText } = await import('@mezzo/precision');
    const model = await openDetector(settings.model, terminal);
    const explanation = await model.explain({
      ...options,
      onEvent: (event) => {
        if (event.event === 'message') terminal.note(event.text);
      },
    });
    if (json) {
      terminal.print(explanationJson(explanation));
      return 0;
    }
    terminal.print(explanationText(explanation));
    if (settings.out !== null) terminal.print(`Written to ${terminal.bold(settings.out)}`);
    return 0;
  },
};
