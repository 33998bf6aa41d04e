import { noGrad } from '../autograd/modes.ts';
import { cat } from '../tensor/compose.ts';
import type { Tensor } from '../tensor/tensor.ts';

/** All elements one after the other (torch.nn.utils.parameters_to_vector). */
export const parametersToVector = (parameters: Iterable<Tensor>): Tensor =>
  cat(Array.from(parameters, (parameter) => parameter.reshape(-1)));

/** Copies a vector back into the parameters (torch.nn.utils.vector_to_parameters). */
export function vectorToParameters(vector: Tensor, parameters: Iterable<Tensor>): void {
  noGrad(() => {
    let start = 0;
    for (const parameter of parameters) {
      const count = parameter.numel();
      parameter.copy_(vector.narrow(0, start, count).viewAs(parameter));
      start += count;
    }
  });
}
