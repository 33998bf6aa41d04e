import { warn } from '@mezzo/torch';
import { softmax } from '../activations.ts';
import type { Model } from './model.ts';

/** Tells of a model that ends in a softmax in float16, whose loss then lacks range, and how to cure it. */
export function warnOfHalfSoftmax(model: Model): void {
  for (const layer of model.outputLayers) {
    if (layer.outputActivation !== softmax || layer.computeDtype !== 'float16') continue;
    warn(
      'LOW_PRECISION_SOFTMAX',
      `layer '${layer.name}' ends the model with a softmax in float16, whose small probabilities become 0; ` +
        "give this layer dtype: 'float32'",
    );
  }
}
