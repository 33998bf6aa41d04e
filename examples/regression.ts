/**
 * The introductory loop: a linear map of 10 inputs to 2 outputs, recovered from noisy samples with Adam and the mean
 * squared error, in batches of 32.
 *
 *     ./mezzo example regression
 */
import { nn, noGrad, optim, randn, scope, type Tensor } from '@mezzo/torch';
import type { Lesson, Run } from './lesson.ts';

const BATCH = 32;
const STEPS = 400;
const LR = 0.05;
const NOISE = 0.05; // standard deviation of what cannot be learned

function train({ device, amp, scaler, progress }: Run) {
  const truth = randn([10, 2], { device });
  const offset = randn([2], { device });
  const sample = (count: number) => {
    const x = randn([count, 10], { device });
    const y = x.matmul(truth).add(offset);
    return { x, y: y.add(randn([count, 2], { device }).mul(NOISE)) };
  };
  const heldOut = sample(1000);

  const model = new nn.Linear(10, 2, { device });
  const criterion = new nn.MSELoss();
  const optimizer = new optim.Adam(model.parameters(), { lr: LR });
  const schedule = new optim.lrScheduler.CosineAnnealingLR(optimizer, STEPS);

  const untrained = explainedVariance(
    heldOut.y,
    noGrad(() => amp(() => model.forward(heldOut.x))),
  );
  for (let step = 1; step <= STEPS; step++) {
    scope(() => {
      const { x, y } = sample(BATCH);
      optimizer.zeroGrad();
      // Forward pass and loss run under autocast: the matrix product in 16 bits, the loss in fp32.
      const loss = amp(() => criterion.forward(model.forward(x), y));
      // Backward and the step run outside. With fp16 the loss is scaled, so that small gradients survive.
      scaler.scale(loss).backward();
      scaler.step(optimizer); // unscales; leaves the step out when a gradient overflowed
      scaler.update();
      schedule.step();
    }); // every tensor of the step is freed here
    progress(step, STEPS);
  }
  const trained = explainedVariance(
    heldOut.y,
    noGrad(() => amp(() => model.forward(heldOut.x))),
  );
  return { untrained, trained };
}

/** 1 - error / variance: 1 is perfect, 0 is no better than the mean. */
function explainedVariance(y: Tensor, predicted: Tensor): number {
  const error = y.sub(predicted.float()).pow(2).mean();
  const variance = y.sub(y.mean(0)).pow(2).mean();
  return 1 - Number(error.div(variance).item());
}

export const lesson: Lesson = {
  about: 'The introductory loop: Linear(10, 2), Adam and the mean squared error in batches of 32.',
  source: 'PyTorch, Automatic Mixed Precision examples: typical mixed precision training',
  measure: 'explained variance',
  goal: 0.99,
  train,
};
