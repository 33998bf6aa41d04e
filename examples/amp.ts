/**
 * A training loop in automatic mixed precision, whole:
 *
 *     ./mezzo example amp          (after `./mezzo setup`)
 *
 * The task: recover the weights of a hidden linear map from noisy samples of it.
 */
import {
  autocast,
  GradScaler,
  manualSeed,
  memory,
  nn,
  noGrad,
  optim,
  randn,
  scope,
  type Tensor,
} from '@mezzo/torch';

const DTYPE = 'bfloat16'; // 'float16' needs the scaler, 'bfloat16' has fp32's range and does not
const STEPS = 200;
const BATCH = 32;

class Net extends nn.Module {
  readonly hidden = new nn.Linear(10, 64);
  readonly output = new nn.Linear(64, 2);

  override forward(x: Tensor): Tensor {
    return this.output.forward(this.hidden.forward(x).relu());
  }
}

manualSeed(0);
const truth = randn([10, 2]);
const net = new Net();
const optimizer = new optim.Adam(net.parameters(), { lr: 1e-2 });
const scaler = new GradScaler({ device: 'cpu', enabled: DTYPE !== 'bfloat16' });

for (let step = 0; step <= STEPS; step++) {
  const loss = scope(() => {
    const x = randn([BATCH, 10]);
    const y = noGrad(() => x.matmul(truth));
    const difference = autocast({ device: 'cpu', dtype: DTYPE }, () => net.forward(x).sub(y));
    const loss = difference.float().pow(2).mean(); // the sum in fp32, on every device
    optimizer.zeroGrad();
    scaler.scale(loss).backward();
    scaler.step(optimizer); // unscales; leaves the step out when a gradient overflowed
    scaler.update();
    return loss.item();
  }); // every tensor of the step is freed here
  if (step % 50 === 0)
    console.log(`step ${step}: loss ${Number(loss).toFixed(4)}, ${memory.stats().liveTensors} tensors`);
}
