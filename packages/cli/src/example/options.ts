import type { OptionTable, TableSettings } from '@mezzo/detect/config';

export const exampleOptions = {
  seeds: {
    type: 'ints',
    default: [0, 1],
    range: [0, 2 ** 32 - 1],
    help: 'a training each, in both precisions',
  },
  device: { type: 'device', default: null, help: 'cpu, 0 or cuda:0; the first card unless given' },
  dtype: {
    type: 'choice',
    choices: ['fp16', 'bf16'],
    default: null,
    help: "what is compared with fp32; unless given, the device's own: fp16 on CUDA, bf16 on a CPU",
  },
  out: { type: 'path', default: null, help: 'file for the JSON document' },
} as const satisfies OptionTable;

export type ExampleSettings = TableSettings<typeof exampleOptions>;
