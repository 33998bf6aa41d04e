/** Beyond these a file is no honest file of weights; each is at least ten times what the largest known ones have. */
export const LIMITS = {
  /** Entries of the zip container; a large language model has about ten thousand. */
  entries: 1_000_000,
  /** Bytes of the zip's table of contents. */
  directoryBytes: 256 * 2 ** 20,
  /** Bytes of the pickle; 100 kB is usual. */
  pickleBytes: 128 * 2 ** 20,
  /** Digits of a whole number, in bytes. */
  integerBytes: 1024,
  /** Items that calls may copy, beyond one for each byte of the pickle: `list(x)` of the same x again and again. */
  copiedItems: 1_000_000,
  /** Dimensions of a tensor: as LibTorch. */
  dimensions: 64,
  /** Bytes that deflated entries may give: this, or `inflation` times the file, whichever is more. */
  inflatedBytes: 256 * 2 ** 20,
  inflation: 64,
  /** Bytes that tensors take when written out, beyond `inflation` times the file: views of one storage may overlap. */
  overlappingBytes: 2 ** 30,
} as const;
