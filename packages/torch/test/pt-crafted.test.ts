import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { readFileSync, writeFileSync } from 'node:fs';
import { test } from 'node:test';
import { fileURLToPath } from 'node:url';
import { loadPt, loadSafetensors, PtError, type PtErrorCode, readPt } from '../src/index.ts';
import { compressed, int, named, program, tensorOf, text, writePt } from './pt-file.ts';
import { scratch } from './scratch.ts';

const { folder, at } = scratch();
const views = fileURLToPath(new URL('../../test/fixtures/pt/views.pt', import.meta.url));

function refused(read: () => unknown, code: PtErrorCode, message: string): void {
  assert.throws(read, (error) => {
    assert.ok(error instanceof PtError, String(error));
    assert.deepEqual([error.code, error.message], [code, message]);
    return true;
  });
}

/** Offsets of the rows of a table of contents. */
function rowsOf(zip: Buffer): number[] {
  const rows: number[] = [];
  const row = Buffer.from('PK\x01\x02', 'latin1');
  for (let found = zip.indexOf(row); found >= 0; found = zip.indexOf(row, found + 1)) rows.push(found);
  return rows;
}

test('a decompression bomb of many entries, each of which would be allowed', () => {
  const zip = compressed(readFileSync(views));
  const rows = rowsOf(zip);
  for (const row of rows) zip.writeUInt32LE(200 * 2 ** 20, row + 24);
  writeFileSync(at('bomb.pt'), zip);
  const size = rows.length * 200 * 2 ** 20;
  refused(
    () => readPt(at('bomb.pt')),
    'PT_LIMIT',
    `${at('bomb.pt')}: its entries unpack to ${size} bytes, out of a file of ${zip.length}: a decompression bomb`,
  );
});

test('an entry whose local header moves its data into the next entry', () => {
  const path = writePt(at('moved.pt'), {
    'data.pkl': program(`}${text('w')}${tensorOf('0', 1, { shape: [1], stride: [1] })}s`),
    'data/0': Buffer.from('abcd'),
    'data/1': Buffer.from('efgh'),
  });
  const bytes = readFileSync(path);
  const header = bytes.indexOf('PK\x03\x04', bytes.indexOf('archive/data.pkl') + 20, 'latin1');
  const extra = bytes.readUInt16LE(header + 28);
  bytes.writeUInt16LE(extra + bytes.indexOf('efgh') - bytes.indexOf('abcd'), header + 28);
  writeFileSync(path, bytes);
  refused(() => loadPt(path), 'PT_INVALID', `${path}: its data runs into what follows (archive/data/0)`);
});

test('names in a network that are no text, and would be endless as text', () => {
  // Thirty-two tuples, each of two of the one before.
  let names = `K\x01\x85q\x00`;
  for (let level = 0; level < 32; level++) {
    const below = `h${String.fromCharCode(level)}`;
    names += `0${below}${below}\x86q${String.fromCharCode(level + 1)}`;
  }
  const module = `${named('net', 'Leaf')})\x81}${text('_modules')}}sb`;
  const children = program(`${named('net', 'Net')})\x81}${text('_modules')}}`, names, `${module}ssb`);
  const path = writePt(at('names.pt'), { 'data.pkl': children });
  refused(() => loadPt(path), 'PT_INVALID', `${path}: a part of its network has a list of 2 as its name`);
  const buffers = `${text('_modules')}}${text('_buffers')}}`;
  const own = program(`${named('net', 'Net')})\x81}(${buffers}`, names, 'K\x01sub');
  const other = writePt(at('buffers.pt'), { 'data.pkl': own });
  refused(() => loadPt(other), 'PT_INVALID', `${other}: a part of its network has a list of 2 as its name`);
});

test('fifty thousand whole numbers of a thousand digits', () => {
  const digits = Buffer.alloc(1020, 0x7f);
  const number = Buffer.concat([Buffer.from([0x8b, 0xfc, 0x03, 0, 0]), digits]).toString('latin1');
  const path = writePt(at('numbers.pt'), { 'data.pkl': program('](', number.repeat(50_000), 'e') });
  const { value } = readPt(path);
  const expected = digits.reduce((sum, digit, i) => sum + (BigInt(digit) << BigInt(8 * i)), 0n);
  assert.equal((value as bigint[])[49_999], expected);
});

test('whole numbers of every length and sign', () => {
  const cases: readonly [readonly number[], number | bigint][] = [
    [[], 0],
    [[0xff], -1],
    [[0x80], -128],
    [[0x7f], 127],
    [[0xff, 0x00], 255],
    [[0, 0, 0, 0, 0, 0, 0, 0x80], -(2n ** 63n)],
    [[0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x1f], Number.MAX_SAFE_INTEGER],
  ];
  for (const [bytes, expected] of cases) {
    const path = writePt(at('long.pt'), { 'data.pkl': program(0x8a, [bytes.length, ...bytes]) });
    assert.equal(readPt(path).value, expected);
  }
});

test('what a file says of itself reaches no terminal: control characters and endless names are not repeated', () => {
  const hidden = `posix\x1b[2K\x07${'x'.repeat(5000)}`;
  const path = writePt(at('terminal.pt'), {
    'data.pkl': program(`${text(hidden)}${text('system')}\x93)R`),
  });
  assert.throws(
    () => readPt(path),
    (error) => {
      assert.ok(error instanceof PtError);
      assert.match(error.message, /it asks Python to call posix\\x1b\[2K\\x07x+…/);
      assert.ok(error.message.length < 700, `${error.message.length} characters`);
      return true;
    },
  );
});

test('a bool in an untyped storage is 0 or 1, whatever the byte', () => {
  const storage = `(${text('storage')}${named('torch.storage', 'UntypedStorage')}${text('0')}${text('cpu')}${int(4)}tQ`;
  const hooks = `${named('collections', 'OrderedDict')})R`;
  const args = `(${storage}${int(0)}${int(4)}\x85${int(1)}\x85\x89${hooks}${named('torch', 'bool')}t`;
  const tensor = `${named('torch._utils', '_rebuild_tensor_v3')}${args}R`;
  const path = writePt(at('bool.pt'), {
    'data.pkl': program(`}${text('w')}${tensor}s`),
    'data/0': Buffer.from([0, 1, 2, 255]),
  });
  assert.deepEqual([...(loadPt(path).w!.to('uint8').toTypedArray() as Uint8Array)], [0, 1, 1, 1]);
});

test('a pipe and a folder in place of a file end in an error', () => {
  const pipe = at('pipe.pt');
  execFileSync('mkfifo', [pipe]);
  refused(() => readPt(pipe), 'PT_FOREIGN', `${pipe}: it is not a file`);
  for (const place of [pipe, folder]) {
    assert.throws(() => loadSafetensors(place), {
      code: 'SAFETENSORS_INVALID',
      message: `${place}: not a valid safetensors file: it is not a file`,
    });
  }
});
