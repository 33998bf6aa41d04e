import assert from 'node:assert/strict';
import { readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { describe, test } from 'node:test';
import { fileURLToPath } from 'node:url';
import {
  loadPt,
  MezzoError,
  memory,
  PtError,
  type PtErrorCode,
  PtObject,
  type PtValue,
  readPt,
} from '../src/index.ts';
import { compressed, named, program, tensorOf, text, writePt } from './pt-file.ts';
import { scratch } from './scratch.ts';

const { folder, at } = scratch();
const made = (name: string) => fileURLToPath(new URL(`../../test/fixtures/pt/${name}`, import.meta.url));
const entry = (value: PtValue, key: PtValue): PtValue => (value as Map<PtValue, PtValue>).get(key)!;

const ELEMENT = Buffer.alloc(4);
const one = tensorOf('0', 1, { shape: [1], stride: [1] });

/** Files made by hand: the pickle, and what is found wrong with it where. */
const REFUSED: Record<string, readonly [pickle: Buffer, code: PtErrorCode, found: string, where: string]> = {
  'os.system': [
    program(named('os', 'system'), `${text('echo pwned > pwned.txt')}\x85R`),
    'PT_UNSAFE',
    'it names os.system, which no weights need',
    'data.pkl, byte 2 (GLOBAL)',
  ],
  'posix.system, named by the newer opcode': [
    program(`\x8c\x05posix\x8c\x06system\x93${text('id')}\x85R`),
    'PT_UNSAFE',
    'it names posix.system, which no weights need',
    'data.pkl, byte 17 (STACK_GLOBAL)',
  ],
  'builtins.eval': [
    program(named('builtins', 'eval'), `${text('1')}\x85R`),
    'PT_UNSAFE',
    'it names builtins.eval, which no weights need',
    'data.pkl, byte 2 (GLOBAL)',
  ],
  'subprocess.Popen, which looks like a class': [
    program(named('subprocess', 'Popen'), `${text('id')}\x85R`),
    'PT_UNSAFE',
    'it names subprocess.Popen, which no weights need',
    'data.pkl, byte 2 (GLOBAL)',
  ],
  'a function of PyTorch that is on no list': [
    program(named('torch.hub', 'load'), `${text('someone/something')}\x85R`),
    'PT_UNSAFE',
    'it asks Python to call torch.hub.load',
    'data.pkl, byte 41 (REDUCE)',
  ],
  'the result of getattr, called': [
    program(named('__builtin__', 'getattr'), `${text('a')}${text('upper')}\x86R)R`),
    'PT_UNSAFE',
    'it asks Python to call an object of __builtin__.getattr',
    'data.pkl, byte 42 (REDUCE)',
  ],
  'the oldest way to make an object': [
    program('(ios\nsystem\n'),
    'PT_UNSAFE',
    'it makes objects in a way that PyTorch never does',
    'data.pkl, byte 3 (INST)',
  ],
  'an opcode of no protocol': [
    program(0xfe),
    'PT_INVALID',
    'its pickle has an opcode that PyTorch never writes',
    'data.pkl, byte 2 (0xfe)',
  ],
  'a pickle without its end': [
    program('X\xff\xff\xff\x7f'),
    'PT_INVALID',
    'its pickle ends in the middle: 2147483646 bytes are missing',
    'data.pkl, byte 2 (BINUNICODE)',
  ],
  'an empty stack': [
    program('0'),
    'PT_INVALID',
    'its pickle takes a value from the stack where none is',
    'data.pkl, byte 2 (POP)',
  ],
  'a memo that is not there': [
    program('h\x07'),
    'PT_INVALID',
    'its pickle refers to memo 7, which is not there',
    'data.pkl, byte 2 (BINGET)',
  ],
  'a whole number of gigabytes': [
    program(0x8b, [0xff, 0xff, 0xff, 0x7f]),
    'PT_LIMIT',
    'a whole number of 2147483647 bytes',
    'data.pkl, byte 2 (LONG4)',
  ],
  'items set on a number': [
    program('K\x01K\x02K\x03s'),
    'PT_INVALID',
    'it sets items of the number 1',
    'data.pkl, byte 8 (SETITEM)',
  ],
  'a storage that is not in the file': [
    program(tensorOf('7', 1, { shape: [1], stride: [1] })),
    'PT_INVALID',
    'storage 7 is not in the file',
    'data.pkl, byte 89 (BINPERSID)',
  ],
  'a storage of another size': [
    program(tensorOf('0', 2, { shape: [2], stride: [1] })),
    'PT_INVALID',
    'storage 0 has 4 bytes, its 2 elements take 8',
    'data.pkl, byte 89 (BINPERSID)',
  ],
  'a tensor beyond its storage': [
    program(tensorOf('0', 1, { shape: [1, 3], stride: [3, 1] })),
    'PT_INVALID',
    'a tensor of shape [1,3] needs 3 elements of storage 0, which has 1',
    'data.pkl, byte 148 (REDUCE)',
  ],
  'a tensor before its storage': [
    program(tensorOf('0', 1, { offset: -1, shape: [1], stride: [1] })),
    'PT_INVALID',
    'offset of a tensor: not a list of sizes',
    'data.pkl, byte 138 (REDUCE)',
  ],
  'strides that run backwards': [
    program(tensorOf('0', 1, { shape: [1], stride: [-1] })),
    'PT_INVALID',
    'strides of a tensor: not a list of sizes',
    'data.pkl, byte 138 (REDUCE)',
  ],
};

describe('files made by hand are refused with code, reason and place', () => {
  for (const [name, [pickle, code, found, where]] of Object.entries(REFUSED)) {
    test(name, () => {
      const path = writePt(at('refused.pt'), { 'data.pkl': pickle, 'data/0': ELEMENT });
      const before = readdirSync(folder);
      memory.collectGarbage();
      const live = memory.stats().liveTensors;
      assert.throws(
        () => loadPt(path),
        (error) => {
          assert.ok(error instanceof PtError);
          assert.equal(error.message, `${path}: ${found} (${where})`);
          assert.deepEqual([error.code, error.path, error.found, error.where], [code, path, found, where]);
          assert.ok((error.hint ?? '').length > 20);
          return true;
        },
      );
      assert.deepEqual(readdirSync(folder), before);
      assert.equal(memory.stats().liveTensors, live);
    });
  }

  test('an unknown class is an opaque object with its arguments and state', () => {
    const call = `${named('some.package', 'Anything')}${text('x')}\x85R}${text('a')}K\x05sb`;
    const path = writePt(at('opaque.pt'), { 'data.pkl': program(`}${text('thing')}${call}s`) });
    const thing = entry(readPt(path).value, 'thing');
    assert.ok(thing instanceof PtObject);
    assert.deepEqual(
      [thing.className, thing.args, thing.attribute('a')],
      ['some.package.Anything', ['x'], 5],
    );
    assert.throws(() => loadPt(path), {
      code: 'PT_UNSUPPORTED',
      message: `${path}: it holds a dict of 1, neither a dict of tensors nor a network`,
    });
  });

  test('a list that contains itself, and a module that does', () => {
    const list = writePt(at('list.pt'), { 'data.pkl': program(']q\x00h\x00a') });
    const { value } = readPt(list);
    assert.equal((value as PtValue[])[0], value);
    const own = `${named('net', 'Net')})\x81q\x00}${text('_modules')}}${text('self')}h\x00ssb`;
    const module = writePt(at('module.pt'), { 'data.pkl': program(own) });
    assert.throws(() => loadPt(module), {
      code: 'PT_INVALID',
      message: `${module}: a module of its network contains itself (self.)`,
    });
  });

  test('modules that multiply: thirty levels of two are a billion, and refused', () => {
    let pickle = `${named('net', 'Leaf')})\x81}${text('_modules')}}sbq\x00`;
    for (let level = 0; level < 30; level++) {
      const previous = `h${String.fromCharCode(level)}`;
      const children = `}(${text('a')}${previous}${text('b')}${previous}u`;
      pickle += `0${named('net', 'Node')})\x81}${text('_modules')}${children}sbq${String.fromCharCode(level + 1)}`;
    }
    const path = writePt(at('laughs.pt'), { 'data.pkl': program(pickle) });
    assert.throws(() => loadPt(path), { code: 'PT_LIMIT' });
  });

  test('a list of a hundred thousand, copied as many times', () => {
    const copies = `${named('builtins', 'list')}h\x00\x85R0`.repeat(100_000);
    const path = writePt(at('copies.pt'), {
      'data.pkl': program(']q\x00(', 'N'.repeat(100_000), 'e', copies),
    });
    assert.throws(
      () => readPt(path),
      (error) => error instanceof PtError && error.code === 'PT_LIMIT',
    );
  });

  test('an expanded tensor of a terabyte', () => {
    const huge = tensorOf('0', 1, { shape: [2 ** 30, 2 ** 8], stride: [0, 0] });
    const path = writePt(at('huge.pt'), { 'data.pkl': program(`}${text('w')}${huge}s`), 'data/0': ELEMENT });
    assert.throws(
      () => loadPt(path),
      (error) => error instanceof PtError && error.code === 'PT_LIMIT' && error.where === 'w',
    );
  });

  test('ten thousand nested lists cost nothing', () => {
    const path = writePt(at('deep.pt'), { 'data.pkl': program(']'.repeat(10_000), 'a'.repeat(9_999)) });
    assert.ok(Array.isArray(readPt(path).value));
  });
});

describe('files that are something else', () => {
  const CASES: Record<string, readonly [content: string | Buffer, found: string]> = {
    'an empty file': ['', 'it is empty'],
    'a web page': ['<!DOCTYPE html><html>', 'it is a web page: the download did not give the file'],
    'a pointer of Git LFS': [
      'version https://git-lfs.github.com/spec/v1\noid sha256:0\n',
      'it is a pointer of Git LFS, not the file itself: git lfs pull fetches it',
    ],
    safetensors: [Buffer.from('\x02\0\0\0\0\0\0\0{}', 'latin1'), 'it is a safetensors file'],
    'some other pickle': [program('N'), 'it is not a file that torch.save wrote'],
  };
  for (const [name, [content, found]] of Object.entries(CASES)) {
    test(name, () => {
      writeFileSync(at('foreign.pt'), content);
      assert.throws(() => readPt(at('foreign.pt')), {
        code: 'PT_FOREIGN',
        message: `${at('foreign.pt')}: ${found}`,
      });
    });
  }

  test('TorchScript, and a zip archive of anything', () => {
    assert.throws(() => readPt(made('script.pt')), {
      code: 'PT_FOREIGN',
      message: `${made('script.pt')}: it is a TorchScript archive (torch.jit.save), which holds a program`,
    });
    const zip = writePt(at('zip.pt'), { 'readme.txt': Buffer.from('hello') });
    assert.throws(() => readPt(zip), {
      code: 'PT_FOREIGN',
      message: `${zip}: it is a zip archive without the data.pkl of torch.save`,
    });
  });

  test('a folder, and a file that is not there', () => {
    assert.throws(() => readPt(folder), { code: 'PT_FOREIGN', message: `${folder}: it is not a file` });
    assert.throws(
      () => readPt(at('absent.pt')),
      (error) => error instanceof MezzoError && error.code === 'READ_FAILED',
    );
  });
});

describe('damage', () => {
  test('a file cut at every length is refused', () => {
    const bytes = readFileSync(made('views.pt'));
    for (let length = 0; length < bytes.length; length += 7) {
      writeFileSync(at('cut.pt'), bytes.subarray(0, length));
      assert.throws(
        () => loadPt(at('cut.pt')),
        (error) => error instanceof PtError,
        `${length} bytes`,
      );
    }
  });

  test('a changed byte of a tensor is noticed by its checksum', () => {
    const path = writePt(at('sum.pt'), {
      'data.pkl': program(`}${text('w')}${one}s`),
      'data/0': Buffer.from('abcd'),
    });
    const bytes = readFileSync(path);
    bytes[bytes.indexOf('abcd')] = 0x62;
    writeFileSync(path, bytes);
    assert.throws(() => loadPt(path), {
      code: 'PT_INVALID',
      message: `${path}: its checksum is wrong: some of its bytes were changed (archive/data/0)`,
    });
  });

  test('a file that changes between reading and loading', () => {
    const path = writePt(at('race.pt'), { 'data.pkl': program(`}${text('w')}${one}s`), 'data/0': ELEMENT });
    const file = readPt(path);
    writeFileSync(path, 'something else');
    assert.throws(() => file.load(file.stateDict()!), {
      code: 'PT_INVALID',
      message: `${path}: it was changed while it was read`,
    });
  });

  test('a decompression bomb: what the table of contents claims is not unpacked', () => {
    const path = at('bomb.pt');
    const bytes = compressed(readFileSync(made('views.pt')));
    bytes.writeUInt32LE(0x7fffffff, bytes.lastIndexOf('views/data/0') - 46 + 24);
    writeFileSync(path, bytes);
    assert.throws(
      () => loadPt(path),
      (error) => error instanceof PtError && error.code !== 'PT_FOREIGN',
    );
  });
});
