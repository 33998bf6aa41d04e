import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import {
  loadPt,
  loadSafetensors,
  ones,
  type PtFile,
  readPt,
  saveSafetensors,
  scope,
  tensor,
  zeros,
} from '../src/index.ts';
import { writePt } from './pt-file.ts';
import { type Campaign, DAMAGE, type Dice, type Mutation } from './reader-fuzz.ts';

const PT_CODES = ['PT_INVALID', 'PT_FOREIGN', 'PT_UNSAFE', 'PT_UNSUPPORTED', 'PT_LIMIT'];
const fixture = (name: string) => readFileSync(new URL(`../../test/fixtures/pt/${name}`, import.meta.url));

/** Damage below the checksums: to the pickle or to the header's text, in a file that is otherwise whole. */
type Inner = (dice: Dice) => Buffer;

const OPCODES = Buffer.from(
  '(.012NJKMGXBCTU)t]}aesubqrhjcRQio\x80\x81\x82\x85\x86\x87\x88\x89\x8a\x8b\x8c\x8f\x90\x91\x92\x93\x94\x95\x96',
  'latin1',
);
const opcodes: Readonly<Record<string, Mutation>> = {
  replacedOpcode: (bytes, dice) => {
    bytes[dice.roll(bytes.length)] = OPCODES[dice.roll(OPCODES.length)]!;
    return bytes;
  },
  insertedOpcodes: (bytes, dice) => {
    const at = dice.roll(bytes.length);
    const inserted = Buffer.from(
      Array.from({ length: 1 + dice.roll(4) }, () => OPCODES[dice.roll(OPCODES.length)]!),
    );
    return Buffer.concat([bytes.subarray(0, at), inserted, bytes.subarray(at)]);
  },
  splicedPickles: (bytes, dice) => {
    const other = dice.pick(PT_FILES).pickle;
    return Buffer.concat([
      bytes.subarray(0, dice.roll(bytes.length)),
      other.subarray(dice.roll(other.length)),
    ]);
  },
};

interface Parts {
  readonly bytes: Buffer;
  readonly pickle: Buffer;
  readonly entries: Readonly<Record<string, Buffer>>;
}

/** The entries of a zip that torch.save wrote, by their names without the root. */
function partsOf(bytes: Buffer): Parts {
  const entries: Record<string, Buffer> = {};
  let at = bytes.indexOf('PK\x01\x02', 0, 'latin1');
  while (bytes.readUInt32LE(at) === 0x02014b50) {
    const nameLength = bytes.readUInt16LE(at + 28);
    const name = bytes.toString('latin1', at + 46, at + 46 + nameLength);
    const header = bytes.readUInt32LE(at + 42);
    const start = header + 30 + bytes.readUInt16LE(header + 26) + bytes.readUInt16LE(header + 28);
    entries[name.slice(name.indexOf('/') + 1)] = bytes.subarray(start, start + bytes.readUInt32LE(at + 24));
    at += 46 + nameLength + bytes.readUInt16LE(at + 30) + bytes.readUInt16LE(at + 32);
  }
  return { bytes, pickle: entries['data.pkl']!, entries };
}

const PT_FILES: readonly Parts[] = ['dtypes.pt', 'views.pt', 'protocol5.pt', 'network.pt'].map((name) =>
  partsOf(fixture(name)),
);
const LEGACY = fixture('legacy.pt');

const scratch = mkdtempSync(join(tmpdir(), 'mezzo-weight-files-'));
process.on('exit', () => rmSync(scratch, { recursive: true, force: true }));

/** A zip with right sizes and checksums around a damaged pickle, so that the damage reaches the interpreter. */
function inPickle(mutate: Mutation): Inner {
  return (dice) => {
    const parts = dice.pick(PT_FILES);
    const path = writePt(join(scratch, 'inner.pt'), {
      ...parts.entries,
      'data.pkl': mutate(Buffer.from(parts.pickle), dice),
    });
    const bytes = readFileSync(path);
    rmSync(path);
    return bytes;
  };
}

const PT_KINDS: readonly (readonly [kind: string, make: Inner])[] = [
  ...Object.entries(DAMAGE).map(([kind, mutate]): [string, Inner] => [
    `file: ${kind}`,
    (dice) => mutate(Buffer.from(dice.pick([...PT_FILES.map(({ bytes }) => bytes), LEGACY])), dice),
  ]),
  ...Object.entries(DAMAGE).map(([kind, mutate]): [string, Inner] => [`pickle: ${kind}`, inPickle(mutate)]),
  ...Object.entries(opcodes).map(([kind, mutate]): [string, Inner] => [`pickle: ${kind}`, inPickle(mutate)]),
];

/** Reads all that is in a file: its values, and every tensor of the network in it or of the dict that it is. */
function readWhole(path: string): void {
  const file: PtFile = readPt(path);
  const part = file.value instanceof Map ? (file.value.get('model') ?? file.value) : file.value;
  const state = file.stateDict(part);
  if (state === undefined) return;
  for (const tensor of Object.values(file.load(state))) tensor.contiguous();
}

export const ptCampaign = (cases: number, seed: number): Campaign => ({
  cases,
  seed,
  suffix: '.pt',
  codes: PT_CODES,
  make: (dice) => {
    const [kind, make] = dice.pick(PT_KINDS);
    return { kind, bytes: make(dice) };
  },
  read: readWhole,
});

/** A safetensors file of several dtypes, with metadata. */
function sampleSafetensors(): Buffer {
  const path = join(scratch, 'sample.safetensors');
  scope(() => {
    const tensors = {
      weight: tensor([[1, 2, 3]]),
      half: ones([4]).half(),
      step: tensor([7n]),
      mask: tensor([true, false]),
      empty: zeros([0, 3]),
    };
    saveSafetensors(path, tensors, { who: 'mezzo', json: '{"a":1}' });
  });
  return readFileSync(path);
}

/** What a header may be damaged with: sizes and ranges that do not fit, and other kinds of values. */
const VALUES = [
  '-1',
  '0',
  '9007199254740993',
  '1e308',
  'null',
  '[]',
  '{}',
  '"F32"',
  '"__proto__"',
  '[0,18446744073709551615]',
];

/** The text of the header damaged, and its length field right. */
function inHeader(mutate: Mutation): Mutation {
  return (bytes, dice) => {
    const end = 8 + Number(bytes.readBigUInt64LE());
    const header = mutate(Buffer.from(bytes.subarray(8, end)), dice);
    const length = Buffer.alloc(8);
    length.writeBigUInt64LE(BigInt(header.length));
    return Buffer.concat([length, header, bytes.subarray(end)]);
  };
}

const SAFETENSORS_KINDS: readonly (readonly [kind: string, mutate: Mutation])[] = [
  ...Object.entries(DAMAGE).map(([kind, mutate]): [string, Mutation] => [`file: ${kind}`, mutate]),
  ...Object.entries(DAMAGE).map(([kind, mutate]): [string, Mutation] => [
    `header: ${kind}`,
    inHeader(mutate),
  ]),
  [
    'header: replacedValue',
    inHeader((header, dice) => {
      const numbers = [...header.toString('latin1').matchAll(/\d+|"[^"]*"/g)];
      const { index, 0: old } = dice.pick(numbers);
      return Buffer.concat([
        header.subarray(0, index),
        Buffer.from(dice.pick(VALUES)),
        header.subarray(index + old.length),
      ]);
    }),
  ],
];

export function safetensorsCampaign(cases: number, seed: number): Campaign {
  const sample = sampleSafetensors();
  return {
    cases,
    seed,
    suffix: '.safetensors',
    codes: ['SAFETENSORS_INVALID'],
    make: (dice) => {
      const [kind, mutate] = dice.pick(SAFETENSORS_KINDS);
      return { kind, bytes: mutate(Buffer.from(sample), dice) };
    },
    read: (path) => {
      for (const loaded of Object.values(loadSafetensors(path).tensors)) loaded.contiguous();
    },
  };
}

/** The undamaged files are read: without this a reader that refuses everything would pass. */
export function readUndamaged(): number {
  let read = 0;
  for (const name of ['dtypes.pt', 'views.pt', 'protocol5.pt', 'legacy.pt']) {
    read += Object.keys(loadPt(new URL(`../../test/fixtures/pt/${name}`, import.meta.url).pathname)).length;
  }
  return read;
}
