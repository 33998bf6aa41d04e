/** Work that the first rank does while the others wait for what comes of it, however long it takes. */
import { deserialize, serialize } from 'node:v8';
import { distributed, empty, MezzoError, type Tensor, tensor } from '@mezzo/torch';

/** So often the first rank shows that it is still there: the others never wait longer than a collective may take. */
const SIGN_OF_LIFE_MS = 500;
/** In place of the length of a message. */
const STILL_AT_IT = -1;

type Told<T> = { value: T } | { error: { code: string; message: string; hint: string | undefined } };

/** Does the work, and tells the others what it gave or threw. */
export async function firstRankDoes<T>(work: () => Promise<T>): Promise<T> {
  const signs = showLife();
  let value: T;
  try {
    value = await work();
  } catch (error) {
    // Whoever is gone need not hear of it.
    await Promise.allSettled([signs.end().then(() => tell({ error: described(error) }))]);
    throw error;
  }
  await signs.end();
  await tell({ value });
  return value;
}

/** Waits for the first rank's work; gives or throws what it did. */
export async function firstRankDid<T>(): Promise<T> {
  let length = STILL_AT_IT;
  while (length === STILL_AT_IT) {
    const [told] = await broadcast(empty([1], { dtype: 'int64' }));
    length = Number(told);
  }
  const message = await broadcast(empty([length], { dtype: 'uint8' }));
  const told = deserialize(message as Uint8Array) as Told<T>;
  if ('value' in told) return told.value;
  const { code, message: text, hint } = told.error;
  throw new MezzoError(code, text, { hint });
}

async function tell<T>(told: Told<T>): Promise<void> {
  const message = new Uint8Array(serialize(told));
  await tellLength(message.length);
  await broadcast(tensor(message));
}

const tellLength = (length: number) => broadcast(tensor(BigInt64Array.of(BigInt(length))));

/** The first rank's values, on every rank; other work of this process goes on meanwhile. */
async function broadcast(values: Tensor) {
  await distributed.broadcast(values, 0, { asyncOp: true }).waitAsync();
  const array = values.toTypedArray();
  values.dispose();
  return array;
}

function showLife(): { end(): Promise<void> } {
  let shown: Promise<unknown> = Promise.resolve();
  const timer = setInterval(() => {
    shown = shown.then(() => tellLength(STILL_AT_IT));
    // `end` throws it.
    shown.catch(() => clearInterval(timer));
  }, SIGN_OF_LIFE_MS);
  return {
    end: async () => {
      clearInterval(timer);
      await shown;
    },
  };
}

function described(error: unknown) {
  const message = error instanceof Error ? error.message : String(error);
  if (error instanceof MezzoError) return { code: error.code, message, hint: error.hint };
  return { code: 'INTERNAL', message, hint: undefined };
}
