import { cat, nn, noGrad, scope, type Tensor } from '@mezzo/torch';
import { Conv } from '../models/blocks.ts';
import { withoutAutocast } from '../models/precision.ts';

/** Deviation of the gates' first weights: small, and not 0, which would hide from the check what leads to them. */
const START = 0.01;

/**
 * Weighs maps of equal shape against each other at every pixel: one gate per map, a softmax over the maps, from what all
 * of them show around the pixel. n maps [B, c, H, W] -> [B, c, H, W]. It begins close to their mean.
 */
export class GatedFusion extends nn.Module {
  readonly mix: Conv;
  readonly gate: nn.Conv2d;

  constructor(channels: number, maps: number) {
    super();
    const hidden = Math.max(8, channels / 2);
    this.mix = new Conv(channels * maps, hidden);
    this.gate = new nn.Conv2d(hidden, maps, 3, { padding: 1 });
    noGrad(() => {
      this.gate.weight.normal_(0, START);
      this.gate.bias!.zero_();
    });
  }

  override forward(inputs: readonly Tensor[]): Tensor {
    return scope(() => {
      const logits = this.gate.forward(this.mix.forward(cat(inputs, 1)));
      // No fp32 island: a softmax cannot overflow, and a gate that is off by the rounding of bf16 moves the sum by less
      // than the rounding of the maps themselves does. Lists that put it in fp32 would take the whole neck along.
      const gates = withoutAutocast(logits.device, () => logits.softmax(1)).split(1, 1);
      return inputs.map((map, i) => map.mul(gates[i]!)).reduce((sum, part) => sum.add(part));
    });
  }
}
