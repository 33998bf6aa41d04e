import {
  type MonitorFinding,
  type MonitorState,
  monitorScale,
  type ScaleMonitorOptions,
  type SwingState,
  scaleRule,
  startMonitor,
  startSwings,
  watchSwings,
} from '@mezzo/precision';
import { amp, GradScaler, MezzoError, type WindowResult } from '@mezzo/torch';
import type { TrainSettings } from '../config/index.ts';
import type { PlannedPrecision } from '../precision/plan.ts';
import { type DeviceName, deviceType } from './device.ts';
import type { LossesRead, WindowContext, WindowObserver } from './window-observer.ts';

type ScaleSettings = Pick<TrainSettings, 'scaler' | 'init_scale' | 'growth_interval' | 'scale_floor'>;

/**
 * The loss scaler that the options ask for. Its floor only holds the scale; `ScaleObserver` makes an overflow there
 * an error, so that PyTorch's rule can stay on the device.
 * @throws MezzoError BAD_OPTION for a floor above the first scale
 */
export function buildScaler(
  settings: ScaleSettings,
  { precision, heals }: Pick<PlannedPrecision, 'precision' | 'heals'>,
  device: DeviceName,
): GradScaler {
  const { init_scale, growth_interval, scale_floor } = settings;
  const base = scaleRule(settings.scaler ?? (heals ? 'computed' : 'torch'));
  const init = init_scale ?? base.init;
  const floor = floorOf(settings);
  if (floor !== null && floor > init) {
    throw new MezzoError(
      'BAD_OPTION',
      `scale_floor=${scale_floor} is above the first loss scale of ${init}`,
      {
        hint: 'give a smaller scale_floor, or 0 for none',
      },
    );
  }
  return new GradScaler({
    device: deviceType(device),
    enabled: precision.scaler,
    rule: { ...base, floor, raiseAtFloor: false },
    initScale: init,
    growthInterval: growth_interval ?? base.growthInterval,
  });
}

/** A static scale does not fall, so nothing is to be learned from where it stands. */
const floorOf = ({ scaler, scale_floor }: ScaleSettings): number | null =>
  scaler === 'static' || scale_floor === 0 ? null : scale_floor;

/**
 * Follows the loss scale, and at the beginning the loss: warns with causes and remedies, and ends a run whose scale has
 * nowhere left to fall.
 */
export class ScaleObserver implements WindowObserver {
  readonly name = 'loss scale';
  private readonly options: ScaleMonitorOptions;
  private monitor = startMonitor();
  private swings = startSwings();
  /** What was read before in the epoch. */
  private read = { epoch: 0, sum: 0, batches: 0 };

  constructor(settings: ScaleSettings) {
    this.options = { floor: floorOf(settings) };
  }

  /** @throws ScaleFloorError naming the parameters that overflowed */
  afterWindow({ applied, scale, culprits }: WindowResult, { step, run, files, emit }: WindowContext): void {
    if (scale === null) return;
    const lr = Math.max(...run.optimizer.rates());
    const report = { window: step, applied, scale, culprits, lr, files };
    const { state, findings } = monitorScale(this.options, this.monitor, report);
    this.monitor = state;
    for (const finding of findings) {
      if (finding.severity === 'error') throw new amp.ScaleFloorError(scale, culprits);
      emit({ event: 'message', level: 'warning', text: sentence(finding) });
    }
  }

  losses({ sums, batches, run, step, epoch, skipped, scale, emit }: LossesRead): void {
    const sum = sums.reduce((total, item) => total + item, 0);
    const before = this.read.epoch === epoch ? this.read : { sum: 0, batches: 0 };
    this.read = { epoch, sum, batches };
    // Nothing is added by a batch that was left out.
    if (batches <= before.batches) return;
    const { state, finding } = watchSwings(this.swings, {
      ...{ window: step, skipped, scale, computed: run.scaler.computed },
      loss: (sum - before.sum) / (batches - before.batches),
      lr: Math.max(...run.optimizer.rates()),
    });
    this.swings = state;
    if (finding === null) return;
    const { text, because, remedies } = finding;
    const warning = sentence({ text, causes: [{ text: because }], remedies });
    emit({ event: 'message', level: 'warning', text: warning });
  }

  state(): unknown {
    return { ...this.monitor, swings: this.swings };
  }

  restore(state: unknown): void {
    const { swings, ...monitor } = (state ?? {}) as Partial<MonitorState> & { swings?: SwingState };
    if (Object.keys(monitor).length > 0) this.monitor = monitor as MonitorState;
    if (swings !== undefined) this.swings = swings;
  }
}

function sentence({
  text,
  causes,
  remedies,
}: Pick<MonitorFinding, 'text' | 'remedies'> & { causes: readonly { text: string }[] }): string {
  const because = causes.map((cause) => `\n  likely: ${cause.text}`).join('');
  return `${text}${because}\n  to do: ${remedies.join('; ')}`;
}
