import { manualSeed, nn, rand, randn, scope, stack, type Tensor, tensor } from '@mezzo/torch';

/** log(1 + x²), written without a thought to half precision: x · x is infinite from 256 on. */
export class LogEnergy extends nn.Layer {
  override forward(features: Tensor): Tensor {
    return features.mul(features).add(1).log();
  }
}

/** Finds a bright spot in a picture [B, 1, 16, 16] of 0 … 1023: column, row and radius, [B, 3]. */
export class SpotNet extends nn.Layer {
  readonly stem = new nn.Conv2d(1, 8, 3, { stride: 2, padding: 1 });
  readonly energy = new LogEnergy();
  readonly norm = new nn.BatchNorm2d(8);
  readonly body = new nn.Conv2d(8, 16, 3, { stride: 2, padding: 1 });
  readonly act = new nn.SiLU();
  readonly head = new nn.Linear(16 * 4 * 4, 3);

  override forward(pictures: Tensor): Tensor {
    const features = this.norm.forward(this.energy.forward(this.stem.forward(pictures)));
    return this.head.forward(this.act.forward(this.body.forward(features)).flatten(1));
  }
}

const SIDE = 16;

/** Pictures of one spot each on a noisy ground, and where it is in -1 … 1, measured with some error. */
export function spots(count: number, seed: number): { pictures: Tensor; targets: Tensor } {
  manualSeed(seed);
  return scope(() => {
    const place = rand([count, 3]);
    const rows = place.toTypedArray() as Float32Array;
    const pictures = Array.from({ length: count }, (_, i) => {
      const [x, y, r] = [rows[3 * i]! * SIDE, rows[3 * i + 1]! * SIDE, 2 + 3 * rows[3 * i + 2]!];
      const values = Float32Array.from({ length: SIDE * SIDE }, (_, at) => {
        const distance = Math.hypot((at % SIDE) - x, Math.floor(at / SIDE) - y);
        return 120 + 800 * Math.exp(-((distance / r) ** 2));
      });
      return tensor(values, { shape: [1, SIDE, SIDE] });
    });
    const noise = randn([count, 1, SIDE, SIDE]).mul(32);
    return {
      pictures: stack(pictures).add(noise).clamp(0, 1023),
      targets: place
        .mul(2)
        .sub(1)
        .add(randn([count, 3]).mul(0.2)),
    };
  });
}
