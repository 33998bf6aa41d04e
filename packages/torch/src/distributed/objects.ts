import { empty, tensor } from '../tensor/creation.ts';
import { scope } from '../tensor/scope.ts';
import { allGather } from './collectives.ts';
import { defaultGroup, type ProcessGroup } from './group.ts';

/** What JSON can say of `object`, from every rank, by rank (torch.distributed.all_gather_object). */
export function allGatherObject<T>(object: T, options: { group?: ProcessGroup | undefined } = {}): T[] {
  const { size } = options.group ?? defaultGroup();
  const own = new TextEncoder().encode(JSON.stringify(object));
  return scope(() => {
    const lengths = Array.from({ length: size }, () => empty([1], { dtype: 'int64' }));
    allGather(lengths, tensor(BigInt64Array.of(BigInt(own.length))), options);
    const bytes = lengths.map((length) => Number(length.item()));
    const padded = new Uint8Array(Math.max(...bytes));
    padded.set(own);
    const texts = bytes.map(() => empty([padded.length], { dtype: 'uint8' }));
    allGather(texts, tensor(padded), options);
    return texts.map((text, rank) => {
      const whole = (text.toTypedArray() as Uint8Array).subarray(0, bytes[rank]);
      return JSON.parse(new TextDecoder().decode(whole)) as T;
    });
  });
}
