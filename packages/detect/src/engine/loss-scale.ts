import {
  type MonitorFinding,
  monitorScale,
  type ScaleMonitorOptions,
  scaleRule,
  startMonitor,
} from '@mezzo/precision';
import { amp, GradScaler, MezzoError, type WindowResult } from '@mezzo/torch';
import type { TrainSettings } from '../config/index.ts';
import type { PlannedPrecision } from '../precision/plan.ts';
import { type DeviceName, deviceType } from './device.ts';
import type { WindowContext, WindowObserver } from './window-observer.ts';

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

/** Follows the loss scale: warns with causes and remedies, and ends a run whose scale has nowhere left to fall. */
export class ScaleObserver implements WindowObserver {
  readonly name = 'loss scale';
  private readonly options: ScaleMonitorOptions;
  private monitor = startMonitor();

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

  state(): unknown {
    return this.monitor;
  }

  restore(state: unknown): void {
    if (state !== undefined) this.monitor = state as typeof this.monitor;
  }
}

function sentence({ text, causes, remedies }: MonitorFinding): string {
  const because = causes.map((cause) => `\n  likely: ${cause.text}`).join('');
  return `${text}${because}\n  to do: ${remedies.join('; ')}`;
}
