import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { mkdirSync, readdirSync, readFileSync, statSync, writeFileSync } from 'node:fs';
import { hostname } from 'node:os';
import { join } from 'node:path';
import { describe, test } from 'node:test';
import { fileURLToPath } from 'node:url';
import {
  type DType,
  loadSafetensors,
  MezzoError,
  memory,
  nn,
  ones,
  readSafetensorsHeader,
  saveSafetensors,
  scope,
  type Tensor,
  tensor,
  writeAtomically,
  writeFileAtomically,
  zeros,
} from '../src/index.ts';
import { numbersOf } from './assert-close.ts';

const { folder, at } = scratch();

const DTYPES: DType[] = [
  'float64',
  'float32',
  'float16',
  'bfloat16',
  'int64',
  'int32',
  'int16',
  'int8',
  'uint8',
  'bool',
  'uint16',
  'uint32',
  'uint64',
  'float8_e4m3fn',
  'float8_e5m2',
  'complex64',
];

/** A file from a header (text or object) and data, with the length the header has unless told. */
function fileOf(
  name: string,
  header: unknown,
  data: Uint8Array = new Uint8Array(),
  claimed?: bigint,
): string {
  const text = Buffer.from(typeof header === 'string' ? header : JSON.stringify(header));
  const length = Buffer.alloc(8);
  length.writeBigUInt64LE(claimed ?? BigInt(text.length));
  writeFileSync(at(name), Buffer.concat([length, text, data]));
  return at(name);
}

describe('round trip', () => {
  test('every dtype, shapes with nothing in them, and metadata', () => {
    const path = at('all.safetensors');
    const tensors: Record<string, Tensor> = {
      'a scalar': tensor(2.5),
      empty: zeros([0, 3]),
      'naïve/名': tensor([1, 2]),
      '7': tensor([7]),
    };
    for (const dtype of DTYPES)
      tensors[dtype] = tensor([
        [0, 1, 2],
        [3, 4, 5],
      ]).to(dtype);
    saveSafetensors(path, tensors, { author: 'Mezzo', json: '{"epoch":3}' });
    const loaded = loadSafetensors(path);
    assert.deepEqual(loaded.metadata, { author: 'Mezzo', json: '{"epoch":3}' });
    assert.deepEqual(Object.keys(loaded.tensors), Object.keys(tensors));
    for (const [name, expected] of Object.entries(tensors)) {
      const actual = loaded.tensors[name]!;
      assert.deepEqual([actual.dtype, actual.shape], [expected.dtype, expected.shape], name);
      if (expected.dtype !== 'complex64') assert.deepEqual(asDoubles(actual), asDoubles(expected), name);
    }
  });

  const asDoubles = (t: Tensor) => numbersOf(t.to('float64'));

  test('strided, channels_last, expanded and overlapping tensors are written in row-major order', () => {
    const path = at('strides.safetensors');
    const base = tensor([
      [1, 2, 3],
      [4, 5, 6],
    ]);
    const weight = tensor(
      Float32Array.from({ length: 24 }, (_, i) => i),
      { shape: [1, 2, 3, 4] },
    );
    saveSafetensors(path, {
      transposed: base.t(),
      column: base.at(null, 1),
      expanded: tensor([[1], [2]]).expand(2, 3),
      channelsLast: weight.contiguous({ memoryFormat: 'channels_last' }),
      parameter: new nn.Parameter(base),
    });
    const { tensors } = loadSafetensors(path);
    assert.deepEqual(numbersOf(tensors.transposed!), [1, 4, 2, 5, 3, 6]);
    assert.deepEqual(numbersOf(tensors.expanded!), [1, 1, 1, 2, 2, 2]);
    assert.deepEqual(tensors.channelsLast?.equal(weight), true);
    assert.deepEqual(numbersOf(tensors.parameter!), [1, 2, 3, 4, 5, 6]);
    assert.equal(tensors.parameter?.requiresGrad, false);
  });

  test('the header can be read alone; offsets follow each other and are aligned to the element size', () => {
    const path = at('aligned.safetensors');
    saveSafetensors(path, {
      byte: ones([3], { dtype: 'uint8' }),
      double: ones([2], { dtype: 'float64' }),
      half: ones([1]).half(),
    });
    const header = readSafetensorsHeader(path);
    assert.deepEqual(header.tensors, {
      byte: { dtype: 'uint8', shape: [3], offsets: [18, 21] },
      double: { dtype: 'float64', shape: [2], offsets: [0, 16] },
      half: { dtype: 'float16', shape: [1], offsets: [16, 18] },
    });
    assert.deepEqual(header.metadata, {});
    assert.equal(header.dataStart % 8, 0);
    assert.equal(statSync(path).size, header.dataStart + 21);
  });

  test('a filter reads only what it names', () => {
    const path = at('filter.safetensors');
    saveSafetensors(path, { a: ones([1]), b: ones([2]) });
    const { tensors } = loadSafetensors(path, {
      filter: (name, { shape }) => name === 'b' && shape[0] === 2,
    });
    assert.deepEqual(Object.keys(tensors), ['b']);
  });

  test('neither writing nor reading holds a second copy', () => {
    const path = at('large.safetensors');
    const bytes = 32 * 2 ** 20;
    const large = zeros([bytes / 4]);
    memory.collectGarbage();
    memory.resetPeak();
    const before = memory.stats().liveBytes;
    saveSafetensors(path, { large });
    assert.ok(memory.stats().peakBytes - before < bytes / 2);
    scope(() => {
      loadSafetensors(path);
    });
    assert.ok(memory.stats().peakBytes - before < bytes * 1.5);
  });

  test('a dtype the format lacks is refused before anything is written', () => {
    const path = at('never.safetensors');
    assert.throws(() => saveSafetensors(path, { z: zeros([1], { dtype: 'complex128' }) }), {
      code: 'UNSUPPORTED_DTYPE',
      message: "saveSafetensors: 'z' is complex128, which safetensors cannot hold",
    });
    assert.equal(readdirSync(folder).includes('never.safetensors'), false);
  });
});

describe('damaged files are refused with the reason', () => {
  const entry = (shape: unknown, offsets: unknown, dtype: unknown = 'F32') => ({
    dtype,
    shape,
    data_offsets: offsets,
  });
  const eight = new Uint8Array(8);

  const CASES: Record<string, [make: () => string, reason: string]> = {
    'shorter than its length field': [
      () => {
        writeFileSync(at('short'), 'abc');
        return at('short');
      },
      'it has 3 bytes, fewer than the 8 of its length field',
    ],
    'a header beyond the end': [
      () => fileOf('beyond', {}, eight, 500n),
      'its header claims 500 bytes, but only 10 follow (truncated)',
    ],
    'an absurd header length': [
      () => fileOf('absurd', {}, eight, 2n ** 60n),
      'its header claims 1152921504606846976 bytes, more than the 100000000 allowed',
    ],
    'no JSON': [() => fileOf('nojson', '{"a":'), 'its header is not JSON text'],
    'no UTF-8': [
      () => {
        const path = fileOf('noutf8', '{"ab":1}');
        const bytes = readFileSync(path);
        bytes[10] = 0xff;
        writeFileSync(path, bytes);
        return path;
      },
      'its header is not JSON text',
    ],
    'no object': [() => fileOf('list', [1]), 'its header is not a JSON object'],
    'metadata of numbers': [
      () => fileOf('metadata', { __metadata__: { epoch: 3 } }),
      'its __metadata__ is not a map of strings to strings',
    ],
    'an entry that is no object': [
      () => fileOf('entry', { a: 3 }),
      "tensor 'a' is not described by an object",
    ],
    'an unknown dtype': [
      () => fileOf('dtype', { a: entry([2], [0, 8], 'F31') }, eight),
      'tensor \'a\' has the unknown dtype "F31"',
    ],
    'a negative size': [
      () => fileOf('shape', { a: entry([-2], [0, 8]) }, eight),
      "tensor 'a' has the shape [-2], which is not a list of sizes",
    ],
    'offsets in the wrong order': [
      () => fileOf('order', { a: entry([2], [8, 0]) }, eight),
      "tensor 'a' has the data_offsets [8,0], which are not a range",
    ],
    'a size that does not fit the dtype': [
      () => fileOf('size', { a: entry([3], [0, 8]) }, eight),
      "tensor 'a' holds 8 bytes, but F32 of shape [3] takes 12",
    ],
    'overlapping tensors': [
      () => fileOf('overlap', { a: entry([1], [0, 4]), b: entry([1], [2, 6]) }, eight),
      "tensor 'b' overlaps another one at byte 2",
    ],
    'a gap': [
      () => fileOf('gap', { a: entry([1], [4, 8]) }, eight),
      "bytes 0 to 4 before tensor 'a' belong to no tensor",
    ],
    'data cut off': [
      () => fileOf('cut', { a: entry([4], [0, 16]) }, eight),
      'its tensors take 16 bytes, but only 8 follow (truncated)',
    ],
    'data too long': [
      () => fileOf('long', { a: entry([1], [0, 4]) }, eight),
      '4 bytes after the last tensor belong to no tensor',
    ],
  };

  for (const [name, [make, reason]] of Object.entries(CASES)) {
    test(name, () => {
      const path = make();
      memory.collectGarbage();
      const live = memory.stats().liveTensors;
      assert.throws(() => loadSafetensors(path), {
        name: 'SafetensorsError',
        code: 'SAFETENSORS_INVALID',
        path,
        message: `${path}: not a valid safetensors file: ${reason}`,
        hint: 'the file is damaged or incomplete: copy or download it again',
      });
      assert.equal(memory.stats().liveTensors, live);
    });
  }

  test('a file cut at every length is refused', () => {
    const whole = at('whole.safetensors');
    saveSafetensors(whole, { a: ones([3]), b: ones([2], { dtype: 'int64' }) });
    const bytes = readFileSync(whole);
    for (let length = 0; length < bytes.length; length++) {
      writeFileSync(at('cut.safetensors'), bytes.subarray(0, length));
      assert.throws(() => loadSafetensors(at('cut.safetensors')), { code: 'SAFETENSORS_INVALID' });
    }
  });

  test('a file that is not there', () => {
    assert.throws(
      () => loadSafetensors(at('absent')),
      (error) => {
        assert.ok(error instanceof MezzoError);
        assert.equal(error.code, 'READ_FAILED');
        assert.equal(error.message, `cannot read ${at('absent')}: no such file`);
        return true;
      },
    );
  });
});

describe('atomic writing', () => {
  const temporaries = (path: string) => readdirSync(join(path, '..')).filter((name) => name.endsWith('.tmp'));

  test('an error in the middle leaves the old file and no temporary one', () => {
    const path = at('state.txt');
    writeFileAtomically(path, 'old');
    assert.throws(
      () =>
        writeAtomically(path, (fd) => {
          writeFileSync(fd, 'half of the new');
          throw new Error('mine');
        }),
      { message: 'mine' },
    );
    assert.equal(readFileSync(path, 'utf8'), 'old');
    assert.deepEqual(temporaries(path), []);
    writeFileAtomically(path, Buffer.from('new'));
    assert.equal(readFileSync(path, 'utf8'), 'new');
  });

  test('what killed processes left behind is removed, files of living ones stay', () => {
    const home = at('leftovers');
    mkdirSync(home);
    const dead = join(home, `.weights.${hostname()}-999999999.tmp`);
    const living = join(home, `.weights.${hostname()}-${process.ppid}.tmp`);
    const elsewhere = join(home, '.weights.otherhost-999999999.tmp');
    for (const path of [dead, living, elsewhere]) writeFileSync(path, 'x');
    writeFileAtomically(join(home, 'weights'), 'y');
    assert.deepEqual(
      readdirSync(home).sort(),
      [living, elsewhere]
        .map((p) => p.slice(home.length + 1))
        .concat('weights')
        .sort(),
    );
  });

  test('a folder that is not there', () => {
    const path = join(folder, 'no', 'such', 'file');
    assert.throws(() => writeFileAtomically(path, 'x'), {
      code: 'WRITE_FAILED',
      message: `cannot write ${path}: no such folder`,
      hint: 'create the folder first',
    });
  });

  test('a full disk', () => {
    const path = at('full');
    assert.throws(
      () =>
        writeAtomically(path, () => {
          writeFileSync('/dev/full', 'x');
        }),
      {
        code: 'WRITE_FAILED',
        message: `cannot write ${path}: no space left on the disk`,
        hint: 'free some disk space, or write to another disk',
      },
    );
    assert.deepEqual(temporaries(path), []);
  });
});

/** Reads a file with nothing but Python's standard library, so that every machine that runs Mezzo can. */
const READER = `
import json, struct, sys

FORMATS = {'F32': 'f', 'F16': 'e', 'I64': 'q', 'BOOL': '?', 'BF16': 'H'}

def values(entry, data):
    begin, end = entry['data_offsets']
    letter = FORMATS[entry['dtype']]
    found = struct.unpack('<%d%s' % ((end - begin) // struct.calcsize(letter), letter), data[begin:end])
    if entry['dtype'] == 'BF16':
        found = [struct.unpack('<f', struct.pack('<I', bits << 16))[0] for bits in found]
    return [entry['dtype'], entry['shape'], list(found)]

with open(sys.argv[1], 'rb') as file:
    header = json.loads(file.read(struct.unpack('<Q', file.read(8))[0]))
    data = file.read()
metadata = header.pop('__metadata__')
print(json.dumps([metadata, {name: values(entry, data) for name, entry in header.items()}]))
`;

import { scratch } from './scratch.ts';

describe('exchange with Python', () => {
  test('Python reads our files', () => {
    const path = at('ours.safetensors');
    saveSafetensors(
      path,
      {
        f: tensor([[1.5, -2]]),
        h: tensor([0.5]).half(),
        b: tensor([0.1]).bfloat16(),
        i: tensor([2n ** 40n]),
        m: tensor([true]),
      },
      { who: 'mezzo' },
    );
    const python = process.env.MEZZO_PYTHON ?? 'python3';
    const read = execFileSync(python, ['-c', READER, path], { encoding: 'utf8' });
    assert.deepEqual(JSON.parse(read), [
      { who: 'mezzo' },
      {
        f: ['F32', [1, 2], [1.5, -2]],
        h: ['F16', [1], [0.5]],
        b: ['BF16', [1], [0.10009765625]],
        i: ['I64', [1], [2 ** 40]],
        m: ['BOOL', [1], [true]],
      },
    ]);
  });

  test('we read what the safetensors library wrote', async () => {
    const path = fileURLToPath(new URL('../../test/fixtures/python.safetensors', import.meta.url));
    const { tensors, metadata } = loadSafetensors(path);
    assert.deepEqual(metadata, { who: 'python' });
    assert.deepEqual(await tensors.f?.toArray(), [[1.5, -2]]);
    assert.deepEqual(await tensors.b?.toArray(), [0.10009765625]);
    assert.deepEqual(await tensors.h?.toArray(), [0.5, 65504]);
    assert.deepEqual(await tensors.m?.toArray(), [true, false]);
    assert.equal(await tensors.i?.toArray(), 7);
    assert.deepEqual(tensors.e?.shape, [0, 2]);
  });
});
