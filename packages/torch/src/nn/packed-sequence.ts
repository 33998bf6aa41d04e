import { TorchError } from '@mezzo/libtorch';
import { op } from '../ops/call.ts';
import { arange, emptyLike, tensor } from '../tensor/creation.ts';
import { Tensor } from '../tensor/tensor.ts';

const packOp = op<(input: Tensor, lengths: Tensor, batchFirst: boolean) => [Tensor, Tensor]>(
  'aten::_pack_padded_sequence',
);
const unpackOp = op<
  (
    data: Tensor,
    batchSizes: Tensor,
    batchFirst: boolean,
    paddingValue: number,
    totalLength: number,
  ) => [Tensor, Tensor]
>('aten::_pad_packed_sequence');
const padSequenceOp = op('aten::pad_sequence');

/** Sequences of different lengths without padding, step by step, the longest first. */
export class PackedSequence {
  /** All elements [sum of lengths, …]: first steps of all sequences, second steps, … */
  readonly data: Tensor;
  /** How many sequences are that long, one number a step (int64, on the CPU). */
  readonly batchSizes: Tensor;
  /** The place in the batch that each sequence had, or null where the batch was sorted already. */
  readonly sortedIndices: Tensor | null;
  /** Where each sequence of the batch is now. */
  readonly unsortedIndices: Tensor | null;

  constructor(data: Tensor, batchSizes: Tensor, sortedIndices: Tensor | null = null) {
    this.data = data;
    this.batchSizes = batchSizes;
    this.sortedIndices = sortedIndices;
    this.unsortedIndices = sortedIndices === null ? null : inverse(sortedIndices);
  }
}

function inverse(permutation: Tensor): Tensor {
  const places = arange(permutation.numel(), { device: permutation.device });
  return emptyLike(permutation).scatter_(0, permutation, places);
}

const asLengths = (lengths: Tensor | readonly number[]): Tensor =>
  lengths instanceof Tensor ? lengths.cpu().long() : tensor(lengths, { dtype: 'int64' });

/**
 * A padded batch as a PackedSequence (torch.nn.utils.rnn.pack_padded_sequence).
 * @param input [T, N, …], with `batchFirst` [N, T, …]
 * @param lengths one number a sequence; unless `enforceSorted` is false the longest has to come first
 */
export function packPaddedSequence(
  input: Tensor,
  lengths: Tensor | readonly number[],
  options: { batchFirst?: boolean; enforceSorted?: boolean } = {},
): PackedSequence {
  const { batchFirst = false, enforceSorted = true } = options;
  const given = asLengths(lengths);
  if (enforceSorted) {
    const [data, batchSizes] = packOp(input, given, batchFirst);
    return new PackedSequence(data, batchSizes);
  }
  const [sorted, order] = given.sort(-1, { descending: true });
  const indices = order.to(input.device);
  const [data, batchSizes] = packOp(input.indexSelect(batchFirst ? 0 : 1, indices), sorted, batchFirst);
  return new PackedSequence(data, batchSizes, indices);
}

/**
 * The inverse of `packPaddedSequence` (torch.nn.utils.rnn.pad_packed_sequence), in the order of the batch.
 * @param options.totalLength pad to this many steps, not to the longest sequence
 * @throws TorchError VALUE when a sequence is longer than totalLength
 */
export function padPackedSequence(
  sequence: PackedSequence,
  options: { batchFirst?: boolean; paddingValue?: number; totalLength?: number } = {},
): [padded: Tensor, lengths: Tensor] {
  const { batchFirst = false, paddingValue = 0, totalLength } = options;
  const longest = sequence.batchSizes.size(0);
  if (totalLength !== undefined && totalLength < longest) {
    throw new TorchError(
      'VALUE',
      'Expected total_length to be at least the length of the longest sequence in input, but got ' +
        `total_length=${totalLength} and max sequence length being ${longest}`,
    );
  }
  const { data, batchSizes, unsortedIndices } = sequence;
  const [padded, lengths] = unpackOp(data, batchSizes, batchFirst, paddingValue, totalLength ?? -1);
  if (unsortedIndices === null) return [padded, lengths];
  return [
    padded.indexSelect(batchFirst ? 0 : 1, unsortedIndices),
    lengths.indexSelect(0, unsortedIndices.cpu()),
  ];
}

/** Sequences [Tᵢ, …] as one batch [T, N, …] or [N, T, …], padded behind (torch.nn.utils.rnn.pad_sequence). */
export const padSequence = (
  sequences: readonly Tensor[],
  options: { batchFirst?: boolean; paddingValue?: number; paddingSide?: 'left' | 'right' } = {},
): Tensor =>
  padSequenceOp(
    sequences,
    options.batchFirst ?? false,
    options.paddingValue ?? 0,
    options.paddingSide ?? 'right',
  );

/** Sequences [Tᵢ, …] packed (torch.nn.utils.rnn.pack_sequence). */
export function packSequence(
  sequences: readonly Tensor[],
  options: { enforceSorted?: boolean } = {},
): PackedSequence {
  const lengths = sequences.map((sequence) => sequence.size(0));
  return packPaddedSequence(padSequence(sequences), lengths, options);
}

/** The sequences that were packed (torch.nn.utils.rnn.unpack_sequence). */
export function unpackSequence(packed: PackedSequence): Tensor[] {
  const [padded, lengths] = padPackedSequence(packed, { batchFirst: true });
  return Array.from(lengths.toTypedArray() as BigInt64Array, (length, i) =>
    padded.select(0, i).narrow(0, 0, Number(length)),
  );
}
