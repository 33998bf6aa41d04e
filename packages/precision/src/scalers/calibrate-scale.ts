import {
  type AutocastOptions,
  amp,
  type GradScaler,
  grad,
  MezzoError,
  type nn,
  scope,
  type Tensor,
} from '@mezzo/torch';
import { untouched } from '../autopsy/restore.ts';
import { BoundaryGradients } from './boundary-gradients.ts';

export interface CalibrationOptions {
  model: nn.Module;
  /** One with a computed scale. */
  scaler: GradScaler;
  /** Forward pass and loss of one batch, the forward pass in an autocast region with these options. */
  loss: (region: AutocastOptions) => Tensor;
  device: amp.AutocastDevice;
  /** Has the range of float32, so nothing overflows. Default bfloat16, whose gradients are those of fp16 or larger. */
  dtype?: 'bfloat16' | 'float32';
  /** Only find out which gradients count, for a scaler that goes on from a checkpoint. */
  keepScale?: boolean;
}

export interface Calibration {
  /** The largest |gradient| met, unscaled. */
  largest: number;
  /** The scale that it gave. */
  scale: number;
}

/**
 * Another dtype rounds elsewhere, and may assign other anchors to a box: fp16 gradients were met that are up to
 * twice as large. The margin is gone after `growthInterval` windows.
 */
const OTHER_ROUNDING = 2;

/**
 * Gives a computed scale its first maximum: one forward and backward pass without a scale, whose gradients are
 * thrown away. The model, its buffers and the random streams are left as they were.
 * @throws MezzoError CALIBRATION_FAILED when a gradient is not finite even in this dtype, or all are zero
 */
export function calibrateScale({
  model,
  scaler,
  loss,
  device,
  dtype = 'bfloat16',
  keepScale = false,
}: CalibrationOptions): Calibration {
  const boundaries = new BoundaryGradients(model, dtype);
  const largest = untouched(model, () => {
    boundaries.listen();
    let peak: Tensor | null = null;
    try {
      return scope(() => {
        const parameters = model.parameters().filter(({ requiresGrad }) => requiresGrad);
        const gradients = grad(loss({ device, dtype, enabled: dtype !== 'float32' }), parameters, {
          allowUnused: true,
        });
        peak = boundaries.stop();
        const made = gradients.filter(
          (gradient, i): gradient is Tensor => gradient !== null && boundaries.parameters.has(parameters[i]!),
        );
        const inParameters = made.length === 0 ? 0 : Math.max(...amp.readMagnitudes(amp.magnitudes(made)));
        const between = peak === null ? 0 : Number(peak.item());
        return Math.max(inParameters, between);
      });
    } finally {
      (peak ?? boundaries.stop())?.dispose();
    }
  });
  if (!Number.isFinite(largest) || largest === 0) {
    const what = largest === 0 ? 'all gradients are zero' : 'a gradient is not finite';
    throw new MezzoError(
      'CALIBRATION_FAILED',
      `the loss scale cannot be computed: ${what}, in ${dtype} already`,
      {
        hint: 'the cause is not the loss scale: look at the loss of this batch, its pictures and its labels',
      },
    );
  }
  scaler.watch(boundaries.parameters);
  if (!keepScale) scaler.calibrate(OTHER_ROUNDING * largest);
  return { largest, scale: scaler.getScale() };
}
