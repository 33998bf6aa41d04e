import { refuseAsync, refusePromise } from '../autograd/synchronous.ts';

/**
 * Stands before every operation called from this thread's JavaScript: `name` is the op's, 'aten::exp', and
 * `proceed` calls it with these or other arguments. Operations that the handler calls itself do not meet it.
 */
export type FunctionHandler = (
  name: string,
  args: readonly unknown[],
  proceed: (args: readonly unknown[]) => unknown,
) => unknown;

/** The handler at work, or null. Read by every call: a variable, so that none costs one comparison. */
export let functionHandler: FunctionHandler | null = null;

/**
 * Runs `fn` with `handler` before every operation (torch.overrides.TorchFunctionMode). What LibTorch calls
 * below an operation, and its backward pass, do not come by. An inner mode stands in place of an outer one.
 * @throws TorchError ASYNC_REGION when `fn` is async
 */
export function functionMode<T>(handler: FunctionHandler, fn: () => T): T {
  refuseAsync('functionMode', fn);
  return withHandler(handler, () => {
    const result = fn();
    refusePromise('functionMode', result);
    return result;
  });
}

/** @internal An operation on its way through the handler. */
export function throughHandler(
  handler: FunctionHandler,
  name: string,
  args: readonly unknown[],
  call: (args: unknown[]) => unknown,
): unknown {
  return withHandler(null, () => handler(name, args, (given) => call([...given])));
}

function withHandler<T>(handler: FunctionHandler | null, fn: () => T): T {
  const outer = functionHandler;
  functionHandler = handler;
  try {
    return fn();
  } finally {
    functionHandler = outer;
  }
}
