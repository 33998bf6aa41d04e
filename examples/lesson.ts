import { autocast, type DType, GradScaler, manualSeed } from '@mezzo/torch';

/** What an example exports as `lesson`. `mezzo example NAME` trains it in fp32 and in mixed precision. */
export interface Lesson {
  /** One sentence. */
  about: string;
  /** The paper or page it follows. */
  source: string;
  /** What is measured, the higher the better: 'accuracy', 'IoU', 'mAP50', 'mean return'. */
  measure: string;
  /** The value to reach, in the measure's own units. */
  goal: number;
  /** What one point of the measure is, default 0.01. */
  points?: number;
  train(run: Run): Outcome | Promise<Outcome>;
}

/** One training: everything about it that is not the lesson's own. */
export interface Run {
  /** Where all randomness starts; `manualSeed` was called with it. */
  readonly seed: number;
  /** What autocast computes in; 'float32' is training without it. */
  readonly dtype: Extract<DType, 'float32' | 'bfloat16' | 'float16'>;
  readonly device: string;
  /** Autocast of this run; without effect in fp32. */
  readonly amp: <T>(fn: () => T) => T;
  /** On with 'float16' only: the other types have fp32's range. */
  readonly scaler: GradScaler;
  readonly progress: (step: number, steps: number, text?: string) => void;
}

/** The measure before and after training, and whatever else is worth a number. */
export interface Outcome {
  untrained: number;
  trained: number;
  [detail: string]: number;
}

/** Seeds everything and sets up the precision of one training. */
export function openRun(
  { seed, dtype, device }: Pick<Run, 'seed' | 'dtype' | 'device'>,
  progress: Run['progress'] = () => {},
): Run {
  manualSeed(seed);
  const type = device.startsWith('cuda') ? 'cuda' : 'cpu';
  const amp = { device: type, dtype, enabled: dtype !== 'float32' } as const;
  return {
    seed,
    dtype,
    device,
    amp: (fn) => autocast(amp, fn),
    scaler: new GradScaler({ device: type, enabled: dtype === 'float16' }),
    progress,
  };
}
