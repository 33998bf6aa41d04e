import { noGrad, scope, type Tensor } from '@mezzo/torch';
import { anyBatch, type Shape } from '../graph/shape.ts';
import type { LayerInputs, ShapeOf } from '../layers/layer.ts';
import type { Model } from '../models/model.ts';

/** Inputs as a layer takes them. */
export const given = (inputs: readonly Tensor[]): LayerInputs => (inputs.length === 1 ? inputs[0]! : inputs);

/** Builds the model for such data, and tells the shape of its output. */
export function outputShapeFor(model: Model, inputs: readonly Tensor[]): Shape {
  const shapes = inputs.map(({ shape }) => anyBatch(shape));
  const shape = (shapes.length === 1 ? shapes[0]! : shapes) as ShapeOf<LayerInputs>;
  if (model.layers.length > 0 && model.knowsShapes) {
    const output = model.computeOutputShape(shape);
    model.ensureBuilt(shape);
    return output;
  }
  // A model that is a program of its own is asked by running it on one sample.
  return scope(() =>
    noGrad(() => anyBatch(model.call(given(inputs.map((input) => input.narrow(0, 0, 1)))).shape)),
  );
}
