import type { Command } from './command.ts';

interface Entry {
  readonly name: string;
  readonly summary: string;
  readonly load: () => Promise<Command>;
}

/** Every command, in the order of `mezzo --help`. A command's module is loaded when it runs. */
export const CATALOGUE: readonly Entry[] = [
  {
    name: 'train',
    summary: 'train a detector on a data.yaml, in mixed precision',
    load: async () => (await import('./commands/train.ts')).train,
  },
  {
    name: 'val',
    summary: 'measure mAP50, mAP50-95, precision and recall of weights',
    load: async () => (await import('./commands/val.ts')).val,
  },
  {
    name: 'predict',
    summary: 'find objects in pictures; write pictures, txt or JSON',
    load: async () => (await import('./commands/predict.ts')).predict,
  },
  {
    name: 'train-dual',
    summary: 'train a detector of two streams on pairs of visible and infrared pictures',
    load: async () => (await import('./commands/train-dual.ts')).trainDual,
  },
  {
    name: 'val-dual',
    summary: 'measure weights of two streams on pairs',
    load: async () => (await import('./commands/val-dual.ts')).valDual,
  },
  {
    name: 'infer-dual',
    summary: 'find objects in pairs; pictures with both sensors side by side',
    load: async () => (await import('./commands/infer-dual.ts')).inferDual,
  },
  {
    name: 'export',
    summary: 'write weights as ONNX, checked by running them, or as plain safetensors',
    load: async () => (await import('./commands/export.ts')).exportCommand,
  },
  {
    name: 'explain',
    summary: 'show the precision of every layer and operator, why, and what it costs',
    load: async () => (await import('./commands/explain.ts')).explain,
  },
  {
    name: 'check',
    summary: 'try whether mixed precision is sound for a model, its data and this machine',
    load: async () => (await import('./commands/check.ts')).check,
  },
  {
    name: 'convert',
    summary: 'convert weights: .pt to safetensors, and back',
    load: async () => (await import('./commands/convert.ts')).convert,
  },
  {
    name: 'data',
    summary: 'generate a labelled data set',
    load: async () => (await import('./commands/data.ts')).data,
  },
  {
    name: 'demo',
    summary: 'train on generated pictures in fp32 and with AMP, and compare',
    load: async () => (await import('./commands/demo.ts')).demo,
  },
  {
    name: 'example',
    summary: 'train an example in fp32 and in mixed precision, and compare',
    load: async () => (await import('./commands/example.ts')).example,
  },
  {
    name: 'doctor',
    summary: 'show what was found on this machine, what will be used, what is wrong',
    load: async () => (await import('./commands/doctor.ts')).doctor,
  },
  {
    name: 'setup',
    summary: 'install LibTorch and build the addon',
    load: async () => (await import('./commands/setup.ts')).setup,
  },
  {
    name: 'test',
    summary: "run the project's tests",
    load: async () => (await import('./commands/test.ts')).test,
  },
  {
    name: 'bench',
    summary: "run the project's benchmarks",
    load: async () => (await import('./commands/bench.ts')).bench,
  },
  {
    name: 'help',
    summary: 'this page, or the page of a command',
    load: async () => (await import('./commands/help.ts')).help,
  },
  {
    name: 'version',
    summary: 'print the version',
    load: async () => (await import('./commands/version.ts')).version,
  },
];

/** Words that other programs know and Mezzo answers with a sentence. */
export const ABSENT: Readonly<Record<string, string>> = {
  ui: 'The live page is not there yet.',
  track: 'Mezzo has no tracker.',
  tune: 'Mezzo does not search for hyperparameters.',
  benchmark: 'Mezzo does not compare export formats; its own benchmarks are: mezzo bench',
  settings: 'Mezzo keeps no settings; every option is given to a command or in cfg=FILE.',
  cfg: 'The defaults are in: mezzo train --help',
  'copy-cfg': 'Every run writes the file that cfg= reads: args.yaml in its folder.',
  solutions: 'Mezzo detects objects; it has no applications built on that.',
  checks: 'What was found on this machine is shown by: mezzo doctor',
  segment: 'Mezzo trains detectors; segmentation is another task.',
  classify: 'Mezzo trains detectors; classification is another task.',
  pose: 'Mezzo trains detectors; pose estimation is another task.',
  obb: 'Mezzo trains detectors; oriented boxes are another task.',
};
