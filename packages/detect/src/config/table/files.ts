import type { OptionTable } from '../option.ts';
import { EVERY, TRAIN } from './commands.ts';

/** Options that name a file with more options; the command line wins over what they hold. */
export const fileOptions = {
  cfg: {
    type: 'path',
    default: null,
    commands: EVERY,
    help: 'a YAML file of options, such as the args.yaml of a run; a network description is taken as model',
  },
  hyp: {
    type: 'path',
    default: null,
    commands: TRAIN,
    help: 'a YAML file of hyperparameters, read after cfg; of YOLOv5 too, whose optimizer is SGD unless given',
  },
} as const satisfies OptionTable;
