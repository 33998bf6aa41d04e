import { existsSync } from 'node:fs';
import { basename } from 'node:path';
import { ConfigError } from './errors.ts';
import { readOptionFile } from './file.ts';
import type { Command, OptionTable, Value } from './option.ts';
import { OPTIONS } from './options.ts';
import { type OptionsOf, requireUse } from './settings.ts';
import { fileOptions } from './table/files.ts';
import { checkValue } from './value.ts';
import type { Assignment } from './words.ts';
import { fromYolov5 } from './yolov5-file.ts';

/** What a command line may set in train, val and predict: the option table, and the files that hold options. */
export const COMMAND_LINE_OPTIONS: OptionTable = { ...fileOptions, ...OPTIONS };

/**
 * Joins the layers of options, later ones winning: `cfg` file, `hyp` file, command line. YOLOv5's
 * `--cfg yolov5s.yaml` (a network description) becomes `model`, with `--weights` beside it as `pretrained`.
 * @throws ConfigError
 */
export async function joinLayers<C extends Command>(
  command: C,
  assignments: readonly Assignment[],
): Promise<OptionsOf[C]> {
  const written: Record<string, Value> = {};
  for (const { name, spelling, value, text } of assignments) {
    requireUse(name, spelling.option, command);
    if (name === 'task' && command === 'val' && /^(train|val|test)$/.test(text)) written.split = text;
    else written[name] = checkValue(name, spelling.option, value, text);
  }
  const { cfg, hyp, ...options } = written;
  const layers: Record<string, Value>[] = [];
  if (typeof cfg === 'string') {
    const file = await networkOrOptions(cfg, command);
    if (file !== 'network') layers.push(file);
    else {
      if (options.model) options.pretrained = options.model;
      options.model = cfg;
    }
  }
  if (typeof hyp === 'string') {
    const file = await readOptionFile(hyp, command);
    if (file.kind === 'network') {
      throw new ConfigError('BAD_CONFIG_FILE', `${hyp} describes a network, not hyperparameters`, {
        hint: `give it as model=${hyp}`,
      });
    }
    layers.push(fromYolov5(file.options, file.places));
  }
  const joined: Record<string, Value> = Object.assign({}, ...layers);
  for (const [name, value] of Object.entries(options)) {
    if (value !== null) joined[name] = value;
    else delete joined[name];
  }
  return joined as OptionsOf[C];
}

async function networkOrOptions(path: string, command: Command): Promise<Record<string, Value> | 'network'> {
  if (!existsSync(path) && /^yolo(v?\d+)\w*\.yaml$/.test(basename(path))) return 'network';
  const file = await readOptionFile(path, command);
  return file.kind === 'network' ? 'network' : { ...file.options };
}
