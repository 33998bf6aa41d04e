import { cat, noGrad, scope, type Tensor } from '@mezzo/torch';
import { checkOptions } from '../errors.ts';
import type { Model } from '../models/model.ts';
import { arraysOf, checkFinite, type Data, onDevice } from './data.ts';
import { yieldToLoop } from './evaluate.ts';
import { given } from './shapes.ts';
import { arraySource } from './source.ts';

export interface PredictOptions {
  /** Default 32. */
  batchSize?: number;
}

/** Data that is not finite is a warning here: a program in use should answer the other samples. */
export async function predict(
  model: Model,
  x: Data | readonly Data[],
  options: PredictOptions,
): Promise<Tensor> {
  checkOptions('predict', options, ['batchSize']);
  const arrays = arraysOf(x, null, null, model.takesList);
  checkFinite(arrays, false);
  const outputs: Tensor[] = [];
  for await (const batch of arraySource(arrays, options.batchSize ?? 32, false).batches()) {
    outputs.push(
      noGrad(() =>
        scope(() =>
          model
            .call(given(onDevice(batch, model.device).x), { training: false })
            .float()
            .cpu(),
        ),
      ),
    );
    await yieldToLoop();
  }
  const whole = cat(outputs);
  for (const output of outputs) output.dispose();
  return whole;
}
