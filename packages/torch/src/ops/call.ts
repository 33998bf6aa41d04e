import { type Native, native, TorchError } from '@mezzo/libtorch';
import { dtypeOfCode } from '../tensor/dtype.ts';
import { TensorHandle } from '../tensor/handle.ts';
import { adopt, adoptAll, adoptOptional } from '../tensor/lifetime.ts';
import type { Tensor } from '../tensor/tensor.ts';
import { bindArguments, type Keywords, type Mismatch, splitKeywords } from './bind.ts';
import { functionHandler, throughHandler } from './function-mode.ts';
import { overloadsOf } from './registry.ts';
import { compareSignatures, type GeneratorHandle, type Signature, signatureOf } from './schema.ts';

/** What an op takes from JavaScript; the schema decides what fits where. Objects at the end are keywords. */
export type OpArgument = unknown;

export type OpFunction = (...args: OpArgument[]) => Tensor;

/**
 * The op of that name as a function, for example `op('aten::conv2d')` or, for one overload,
 * `op('aten::add', 'Tensor')`. Positional arguments come in schema order; a trailing plain object holds
 * keyword arguments under their schema names. The overload is the first (most specific) that the arguments
 * fit. LibTorch is not touched before the first call.
 *
 * The function returns a Tensor, a plain value, or an array when the op has several results. A result that is
 * an argument written to (in-place, out=) is that same JavaScript object.
 * @throws TorchError BAD_ARGUMENT when no overload fits, NO_SUCH_OP when LibTorch has no op of that name.
 */
export function op<F = OpFunction>(name: string, overload?: string): F {
  let target: Op | undefined;
  // Nearly every call has one or two tensors and nothing else: those skip matching and argument lists.
  const call = (a?: unknown, b?: unknown, c?: unknown, ...rest: unknown[]): unknown => {
    target ??= new Op(name, overload);
    if (functionHandler !== null) {
      return throughHandler(functionHandler, name, [a, b, c, ...rest], target.call.bind(target));
    }
    if (c === undefined && rest.length === 0 && a instanceof TensorHandle) {
      if (b === undefined) {
        if (target.unary !== undefined) return target.unary(a);
      } else if (target.binary !== undefined && b instanceof TensorHandle) {
        return target.binary(a, b);
      }
    }
    return target.call([a, b, c, ...rest]);
  };
  return call as F;
}

type Unary = (a: TensorHandle) => unknown;
type Binary = (a: TensorHandle, b: TensorHandle) => unknown;

/** An op with its overloads looked up. */
class Op {
  readonly signatures: Signature[];
  readonly unary: Unary | undefined;
  readonly binary: Binary | undefined;
  private readonly name: string;

  constructor(name: string, overload: string | undefined) {
    this.name = name;
    this.signatures = signaturesOf(name, overload);
    this.unary = this.fast(1, unaryCall);
    this.binary = this.fast(2, binaryCall);
  }

  call(args: unknown[]): unknown {
    while (args.length > 0 && args[args.length - 1] === undefined) args.pop();
    const [positional, keywords] = splitKeywords(args);
    for (const signature of this.signatures) {
      const bound = bindArguments(signature, positional, keywords);
      if (typeof bound !== 'function') return invoke(signature, bound);
    }
    throw this.mismatch(positional, keywords);
  }

  private mismatch(positional: readonly unknown[], keywords: Keywords): TorchError {
    const reasons = this.signatures.map((signature) =>
      (bindArguments(signature, positional, keywords) as Mismatch)(),
    );
    if (reasons.length === 1) return new TorchError('BAD_ARGUMENT', `${this.name}: ${reasons[0]}`);
    const lines = reasons.map((reason, i) => `  ${this.signatures[i]!.op.schema}\n    ${reason}`);
    return new TorchError(
      'BAD_ARGUMENT',
      `${this.name}: no overload takes these arguments:\n${lines.join('\n')}`,
    );
  }

  /** A direct call for `count` tensors, when that is what the first fitting overload takes. */
  private fast<F>(count: number, make: (torch: Native, signature: Signature) => F): F | undefined {
    const signature = this.signatures.find(
      ({ parameters, positional }) =>
        positional >= count &&
        parameters.every(({ info, type }, i) =>
          i < count ? type.base === 'Tensor' && !type.list : info.hasDefault,
        ),
    );
    return signature === undefined ? undefined : make(native(), signature);
  }
}

function unaryCall(torch: Native, signature: Signature): Unary {
  const { id } = signature.op;
  if (returnsFreshTensor(signature)) return (a) => adoptOptional(torch.call(id, 1, a.handle) as number);
  return (a) => results(signature, torch.call(id, 1, a.handle), [a]);
}

function binaryCall(torch: Native, signature: Signature): Binary {
  const { id } = signature.op;
  if (returnsFreshTensor(signature)) return (a, b) => adopt(torch.call(id, 3, a.handle, b.handle) as number);
  return (a, b) => results(signature, torch.call(id, 3, a.handle, b.handle), [a, b]);
}

const returnsFreshTensor = ({ op: { returns } }: Signature) =>
  returns.length === 1 && returns[0]!.alias < 0 && returns[0]!.type === 'Tensor';

function signaturesOf(name: string, overload: string | undefined): Signature[] {
  if (overload !== undefined) return [signatureOf(native().lookup(name, overload))];
  const overloads = overloadsOf(name);
  if (overloads.length === 0) {
    throw new TorchError('NO_SUCH_OP', `this LibTorch has no operator ${name}`);
  }
  return overloads.map((each) => signatureOf(native().lookup(name, each))).sort(compareSignatures);
}

/** Calls the native side with arguments in schema order (undefined = default). */
function invoke(signature: Signature, args: readonly unknown[]): unknown {
  return results(
    signature,
    native().call(signature.op.id, maskOf(signature, args), ...marshal(signature, args)),
    args,
  );
}

/** Bit i says that argument i is a tensor, a list of tensors or a generator. */
export function maskOf(signature: Signature, args: readonly unknown[]): number {
  let mask = 0;
  for (let i = 0; i < args.length; i++) {
    const value = args[i];
    if (typeof value === 'object' && value !== null && signature.parameters[i]!.type.isHandle) mask += 2 ** i;
  }
  return mask;
}

/** Tensors and generators become handles, lists of tensors arrays of handles. */
export function marshal(signature: Signature, args: readonly unknown[]): unknown[] {
  const values = args.slice();
  for (let i = 0; i < args.length; i++) {
    const value = args[i];
    if (typeof value !== 'object' || value === null) continue;
    const { type } = signature.parameters[i]!;
    if (type.isHandle) values[i] = type.list ? handlesOf(value as TensorHandle[]) : handleOf(value);
    else if (ArrayBuffer.isView(value)) values[i] = Array.from(value as Float64Array);
  }
  return values;
}

const handleOf = (value: object) =>
  value instanceof TensorHandle ? value.handle : (value as GeneratorHandle).generatorHandle;

const handlesOf = (tensors: readonly (TensorHandle | null)[]) =>
  Float64Array.from(tensors, (tensor) => (tensor === null ? 0 : tensor.handle));

/** Native results as JavaScript values; a result that aliases an argument is the argument's own object. */
function results(signature: Signature, value: unknown, args: readonly unknown[]): unknown {
  const { returns } = signature.op;
  if (returns.length === 0) return undefined;
  if (returns.length === 1) return result(returns[0]!, value, args);
  return (value as unknown[]).map((element, i) => result(returns[i]!, element, args));
}

function result(info: { type: string; alias: number }, value: unknown, args: readonly unknown[]): unknown {
  if (info.alias >= 0) return args[info.alias];
  if (info.type === 'Tensor' || info.type === 'Tensor?') return adoptOptional((value ?? 0) as number);
  if (value instanceof Float64Array) return adoptAll(value);
  if (info.type === 'ScalarType') return dtypeOfCode(value as number) ?? value;
  return value;
}
