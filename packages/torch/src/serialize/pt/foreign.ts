import type { Refuse } from './errors.ts';

/** Files that people take for .pt files, by their first bytes: what to tell them. */
const KNOWN: readonly (readonly [matches: (head: Buffer) => boolean, what: string])[] = [
  [(head) => head.length === 0, 'it is empty'],
  [
    starts('version https://git-lfs'),
    'it is a pointer of Git LFS, not the file itself: git lfs pull fetches it',
  ],
  [
    (head) => /^\s*<(!doctype|html)/i.test(head.toString('latin1')),
    'it is a web page: the download did not give the file',
  ],
  [starts('\x89HDF'), 'it is an HDF5 file (Keras)'],
  [starts('GGUF'), 'it is a GGUF file'],
  [starts('\x93NUMPY'), 'it is a NumPy file'],
  [starts('\x1f\x8b'), 'it is compressed with gzip: unpack it first'],
  [(head) => head[8] === 0x7b && head.readUIntLE(0, 6) < 1e8 && head[7] === 0, 'it is a safetensors file'],
  [
    (head) => head.toString('latin1', 257, 262) === 'ustar',
    'it is a tar archive: PyTorch before 0.1.10 wrote those',
  ],
];

/** Refuses a file that is neither of PyTorch's containers, with its name where it is known. */
export function refuseForeign(head: Buffer, refuse: Refuse): never {
  const what = KNOWN.find(([matches]) => matches(head))?.[1];
  return refuse('PT_FOREIGN', what ?? 'it is not a file that torch.save wrote');
}

function starts(signature: string): (head: Buffer) => boolean {
  return (head) => head.toString('latin1', 0, signature.length) === signature;
}

/** Refuses a zip container that is no state: by the names of its entries. */
export function refuseForeignZip(names: readonly string[], refuse: Refuse): never {
  const has = (pattern: RegExp) => names.some((name) => pattern.test(name));
  if (has(/^[^/]+\/(models|\.data)\/.*\.pkl$/)) refuse('PT_FOREIGN', 'it is a torch.package archive');
  if (has(/\.npy$/)) refuse('PT_FOREIGN', 'it is a NumPy archive (.npz)');
  if (has(/^metadata\.json$/) && has(/weights/)) refuse('PT_FOREIGN', 'it is a Keras file');
  return refuse('PT_FOREIGN', 'it is a zip archive without the data.pkl of torch.save');
}

/** TorchScript keeps code beside the pickle, and a table of constants. */
export function refuseScript(names: readonly string[], root: string, refuse: Refuse): void {
  if (names.some((name) => name === `${root}/constants.pkl` || name.startsWith(`${root}/code/`))) {
    refuse('PT_FOREIGN', 'it is a TorchScript archive (torch.jit.save), which holds a program');
  }
}
