/** 'exp' of 'aten::exp'. */
export const plainOp = (op: string): string => op.replace(/^\w+::/, '');

/** Where an operation runs, as a sentence tells it. `module` is null outside the model. */
export function placeInWords({ layer, module }: { layer: string | null; module: string | null }): string {
  if (layer === null) return 'outside the model';
  if (module === null) return `in '${layer}'`;
  return layer === '' ? "in the model's own forward" : `in layer '${layer}'`;
}

/** 12, 3.7, 65504, 1.2e5: three digits, as a person would write them. */
export function short(value: number): string {
  const size = Math.abs(value);
  if (size !== 0 && (size >= 1e6 || size < 1e-3))
    return value.toExponential(1).replace('e+', 'e').replace('.0e', 'e');
  return String(size >= 100 ? Math.round(value) : Number(value.toPrecision(3)));
}
