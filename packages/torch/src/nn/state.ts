import { TorchError } from '@mezzo/libtorch';
import { describe } from '../ops/schema.ts';
import { Tensor } from '../tensor/tensor.ts';

/** Tensors by name, as PyTorch names them. */
export type StateDict = Record<string, Tensor>;

export interface LoadReport {
  readonly missingKeys: string[];
  readonly unexpectedKeys: string[];
}

/**
 * Compares a state dict with what a module has; the messages are PyTorch's.
 * @throws TorchError STATE_DICT
 */
export function checkStateDict(
  moduleName: string,
  own: ReadonlyMap<string, Tensor>,
  optional: ReadonlySet<string>,
  given: Readonly<Record<string, unknown>>,
  strict: boolean,
): LoadReport {
  const missingKeys = [...own.keys()].filter((name) => given[name] === undefined && !optional.has(name));
  const unexpectedKeys = Object.keys(given).filter((name) => !own.has(name));
  const problems: string[] = [];
  if (strict && missingKeys.length > 0) {
    problems.push(`Missing key(s) in state_dict: ${quoted(missingKeys)}. `);
  }
  if (strict && unexpectedKeys.length > 0) {
    problems.push(`Unexpected key(s) in state_dict: ${quoted(unexpectedKeys)}. `);
  }
  for (const [name, tensor] of own) {
    const problem = given[name] === undefined ? undefined : compare(name, tensor, given[name]);
    if (problem !== undefined) problems.push(problem);
  }
  if (problems.length > 0) {
    const message = `Error(s) in loading state_dict for ${moduleName}:\n\t${problems.join('\n\t')}`;
    throw new TorchError('STATE_DICT', message);
  }
  return { missingKeys, unexpectedKeys };
}

function compare(name: string, tensor: Tensor, given: unknown): string | undefined {
  if (!(given instanceof Tensor)) {
    return (
      `While copying the parameter named "${name}", expected torch.Tensor or Tensor-like object from ` +
      `checkpoint but received ${describe(given)}`
    );
  }
  const [own, other] = [tensor.shape, given.shape];
  if (own.length === other.length && own.every((size, i) => size === other[i])) return undefined;
  return (
    `size mismatch for ${name}: copying a param with shape torch.Size([${other.join(', ')}]) from checkpoint, ` +
    `the shape in current model is torch.Size([${own.join(', ')}]).`
  );
}

const quoted = (names: readonly string[]) => names.map((name) => `"${name}"`).join(', ');
