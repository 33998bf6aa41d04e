import { resolveTable } from '@mezzo/detect/config';
import type { Call, Command } from '../command.ts';
import { type DemoSettings, demoOptions } from '../demo/options.ts';
import { UsageError } from '../failure.ts';
import { prepareLibTorch } from '../libtorch-setup.ts';

type Story = (settings: DemoSettings, call: Call) => Promise<number>;

const STORIES: Readonly<Record<string, () => Promise<Story>>> = {
  shapes: async () => (await import('../demo/shapes.ts')).demoShapes,
  fuse: async () => (await import('../demo/fuse.ts')).demoFuse,
};

export const demo: Command = {
  name: 'demo',
  usage: ['mezzo demo [option=value …]', 'mezzo demo fuse [option=value …]'],
  about:
    'Generates a small detection set, trains YOLOv8n on it twice, in fp32 and in mixed precision, and prints time ' +
    'and memory, mAP, skipped steps and loss scale side by side. Leaves weights, results.png and predicted pictures ' +
    'in runs/demo. Exit code 1 if a run stays below mAP50 0.5. ' +
    'demo fuse generates pairs of visible and infrared night scenes and trains six networks on them with AMP: RGB ' +
    'only, IR only, early, mid and decision fusion, and mid in fp32 too; one table at the end.',
  examples: [
    ['mezzo demo', 'two to four minutes on two cores'],
    ['mezzo demo epochs=30 imgsz=320 --out big', 'longer, larger, elsewhere'],
    ['mezzo demo fuse seeds=3', 'RGB + infrared, means of three trainings each'],
  ],
  options: demoOptions,
  operands: 'stories',
  run: async (call) => {
    const [name = 'shapes', ...more] = call.operands;
    const story = Object.hasOwn(STORIES, name) ? STORIES[name] : undefined;
    if (story === undefined || more.length > 0) {
      const stray = story === undefined ? name : more[0];
      throw new UsageError('USAGE', `there is no demo '${stray}'`, 'mezzo demo, or mezzo demo fuse');
    }
    const settings = resolveTable(demoOptions, call.assignments);
    await prepareLibTorch(call.terminal);
    return (await story())(settings, call);
  },
};
