import assert from 'node:assert/strict';
import { execFileSync, spawnSync } from 'node:child_process';
import { readdirSync, readFileSync } from 'node:fs';
import { test } from 'node:test';
import { type DType, loadPt, nn, savePt, scope, type Tensor, tensor, zeros } from '../src/index.ts';
import { numbersOf } from './assert-close.ts';

const { folder, at } = scratch();

const DTYPES: DType[] = [
  ...([
    'float32',
    'float64',
    'float16',
    'bfloat16',
    'int64',
    'int32',
    'int16',
    'int8',
    'uint8',
    'bool',
  ] as const),
  ...(['complex64', 'complex128', 'uint16', 'uint32', 'uint64', 'float8_e4m3fn', 'float8_e5m2'] as const),
];

function everything(): Record<string, Tensor> {
  const base = tensor([
    [0, 1, 2],
    [3, 4, 5],
  ]);
  return {
    scalar: tensor(2.5),
    empty: zeros([0, 3]),
    'naïve/名': tensor([1, 2]),
    transposed: base.t(),
    parameter: new nn.Parameter(base),
    long: zeros([300]),
    ...Object.fromEntries(DTYPES.map((dtype) => [dtype, base.to(dtype)])),
  };
}

const values = (t: Tensor): number[] => (t.numel() === 0 ? [] : numbersOf(t.to('float64')).map(Number));

test('what was written is read back: names in order, dtypes, shapes, values in row-major order', () => {
  scope(() => {
    const tensors = everything();
    savePt(at('all.pt'), tensors);
    const loaded = loadPt(at('all.pt'));
    assert.deepEqual(Object.keys(loaded), Object.keys(tensors));
    for (const [name, expected] of Object.entries(tensors)) {
      const actual = loaded[name]!;
      assert.deepEqual(
        [actual.dtype, actual.shape, actual.isContiguous()],
        [expected.dtype, expected.shape, true],
        name,
      );
      if (!expected.dtype.startsWith('complex')) assert.deepEqual(values(actual), values(expected), name);
    }
  });
});

test('the same tensors give the same bytes', () => {
  savePt(at('first.pt'), { w: tensor([1, 2]) });
  savePt(at('second.pt'), { w: tensor([1, 2]) });
  assert.deepEqual(readFileSync(at('first.pt')), readFileSync(at('second.pt')));
});

test('a dtype the format lacks is refused before anything is written', () => {
  const quantized = { dtype: 'quint8', shape: [1] } as unknown as Tensor;
  assert.throws(() => savePt(at('never.pt'), { q: quantized }), {
    code: 'UNSUPPORTED_DTYPE',
    message: "savePt: 'q' is quint8, which a .pt file cannot hold",
  });
  assert.equal(readdirSync(folder).includes('never.pt'), false);
});

const python = process.env.MEZZO_PYTHON ?? 'python3';

/** Python's own zip reader and unpickler, with the names of torch replaced: every machine that runs Mezzo has them. */
const STANDARD_LIBRARY = `
import io, json, pickle, sys, zipfile
from collections import OrderedDict

class Unpickler(pickle.Unpickler):
    def find_class(self, module, name):
        if (module, name) == ('collections', 'OrderedDict'):
            return OrderedDict
        return (lambda *args: args) if name.startswith('_rebuild') else f'{module}.{name}'
    def persistent_load(self, pid):
        return list(pid)

with zipfile.ZipFile(sys.argv[1]) as file:
    broken = file.testzip()
    state = Unpickler(io.BytesIO(file.read('archive/data.pkl'))).load()
    aligned = []
    for info in file.infolist():
        file.fp.seek(info.header_offset + 26)
        name, extra = int.from_bytes(file.fp.read(2), 'little'), int.from_bytes(file.fp.read(2), 'little')
        aligned.append((info.header_offset + 30 + name + extra) % 64)
    print(json.dumps([broken, max(aligned), type(state).__name__, {k: v[:4] for k, v in state.items()}]))
`;

test("Python's standard library reads the container and the pickle, and data begins at multiples of 64", () => {
  savePt(at('plain.pt'), { w: tensor([[1, 2, 3]]).half(), u: tensor([7]).to('uint16') });
  assert.deepEqual(
    JSON.parse(execFileSync(python, ['-c', STANDARD_LIBRARY, at('plain.pt')], { encoding: 'utf8' })),
    [
      null,
      0,
      'OrderedDict',
      {
        w: [['storage', 'torch.HalfStorage', '0', 'cpu', 3], 0, [1, 3], [3, 1]],
        u: [['storage', 'torch.storage.UntypedStorage', '1', 'cpu', 2], 0, [1], [1]],
      },
    ],
  );
});

const PYTORCH = `
import json, sys, torch
state = torch.load(sys.argv[1], weights_only=True)
print(json.dumps([type(state).__name__, {
    name: [str(t.dtype)[6:], list(t.shape), t.requires_grad, (t.real if t.is_complex() else t).to(torch.float64).flatten().tolist()]
    for name, t in state.items()
}]))
`;

import { scratch } from './scratch.ts';

// The container and its pickle are checked above in any case; PyTorch itself is asked where Python has it.
if (spawnSync(python, ['-c', 'import torch']).status === 0) {
  test('torch.load(weights_only=True) gives the same tensors', () => {
    scope(() => {
      const tensors = everything();
      savePt(at('python.pt'), tensors);
      const output = execFileSync(python, ['-W', 'ignore', '-c', PYTORCH, at('python.pt')], {
        encoding: 'utf8',
      });
      const expected = Object.entries(tensors).map(([name, t]) => [
        name,
        [t.dtype, t.shape, false, values(t.dtype.startsWith('complex') ? tensors.float32! : t)],
      ]);
      assert.deepEqual(JSON.parse(output), ['OrderedDict', Object.fromEntries(expected)]);
    });
  });
}
