import { manualSeed, nn, type Tensor } from '../src/index.ts';
import { numbersOf } from './assert-close.ts';

/** Layers of every kind that matters: with weights, without, with random numbers. */
export function network(): nn.Sequential {
  manualSeed(5);
  return new nn.Sequential(
    new nn.Linear(6, 8),
    new nn.SiLU(),
    new nn.Dropout(0.4),
    new nn.Linear(8, 8),
    new nn.Sigmoid(),
    new nn.Linear(8, 3),
  );
}

/** Gradients of all parameters and the input, and the output, after `forward`. */
export function everything(model: nn.Module, input: Tensor, forward: () => Tensor): number[][] {
  model.zeroGrad();
  input.grad = null;
  manualSeed(6);
  const output = forward();
  output.float().pow(2).sum().backward();
  const gradients = [...model.parameters(), ...(input.requiresGrad ? [input] : [])];
  return [output, ...gradients.map((each) => each.grad!)].map(numbersOf);
}
