import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { describe, test } from 'node:test';
import * as torch from '../src/index.ts';
import { fixture } from './fixture.ts';

/** What a section of docs/parity-pytorch.md says. */
interface Section {
  same: Set<string>;
  alsoHere: Set<string>;
  /** PyTorch's names and, of the same rows, ours. */
  differs: Set<string>;
  differsHere: Set<string>;
  absent: Set<string>;
}

/** PyTorch's public names by module, made by fixtures/pytorch_names.py. */
const names = fixture<Record<string, string[]>>('pytorch_names.json');

const page = readFileSync(new URL('../../../../docs/parity-pytorch.md', import.meta.url), 'utf8');

/** The texts in code marks. */
const codes = (text: string) => Array.from(text.matchAll(/`([^`]+)`/g), ([, code]) => code!);

const camelCase = (name: string) =>
  name.replace(/(?<=.)_([a-z0-9])/g, (_, letter: string) => letter.toUpperCase());

function parse(text: string): Section {
  const section: Section = {
    same: new Set(),
    alsoHere: new Set(),
    differs: new Set(),
    differsHere: new Set(),
    absent: new Set(),
  };
  const add = (set: Set<string>, found: string) => {
    for (const code of codes(found)) set.add(code);
  };
  let table: 'differs' | 'absent' | null = null;
  for (const line of text.split('\n')) {
    if (line.startsWith('Same: ')) add(section.same, line);
    else if (line.startsWith('Also here: ')) add(section.alsoHere, line);
    else if (line.startsWith('| PyTorch |')) table = 'differs';
    else if (line.startsWith('| absent |')) table = 'absent';
    else if (!line.startsWith('|')) table = null;
    else if (table !== null) {
      const [, first, second] = line.split('|');
      add(section[table], first!);
      if (table === 'differs') add(section.differsHere, second!);
    }
  }
  return section;
}

/** Sections by PyTorch's name of the module. */
const sections = new Map(
  page
    .split(/^## /m)
    .slice(1)
    .map((text) => [codes(text)[0]!.replace(/^torch\.(?=.)/, ''), parse(text)]),
);

/** Does a list with `*` for any letters name this? */
const lists = (list: Set<string>, name: string) =>
  list.has(name) ||
  [...list].some((entry) => entry.includes('*') && new RegExp(`^${entry.replaceAll('*', '.*')}$`).test(name));

/** Own and inherited members of a class's instances. */
function members(type: { prototype: object }): string[] {
  const found = new Set<string>();
  for (let each = type.prototype; each !== Object.prototype; each = Object.getPrototypeOf(each)) {
    for (const name of Object.getOwnPropertyNames(each)) if (name !== 'constructor') found.add(name);
  }
  return [...found];
}

/** TypeScript's private and protected members, which the page does not mention. */
const INTERNAL: Record<string, readonly string[]> = {
  Tensor: ['toNested', 'convert'],
  'nn.Module': [
    'ownParameters',
    'ownBuffers',
    'ownChildren',
    'replaceModules',
    'setChild',
    'stateName',
    'state',
    'optionalStateNames',
    'hooks',
    'forwardFused',
  ],
  'optim.Optimizer': ['ampArguments', 'stepSupportsAmpScaling', 'updateMasters', 'masterOf'],
};

const { nn, optim } = torch;

/** Modules with a section and one of their own. */
const NAMESPACES = ['nn', 'optim', 'amp', 'autograd', 'data', 'cuda', 'profiler', 'ops', 'backends'];

const EXPORTS: Record<string, readonly string[]> = {
  Tensor: members(torch.Tensor),
  torch: Object.keys(torch).filter((name) => !NAMESPACES.includes(name)),
  nn: Object.keys(nn),
  'nn.Module': members(nn.Module as unknown as { prototype: object }),
  'nn.functional': Object.keys(nn.functional),
  'nn.init': Object.keys(nn.init),
  'nn.utils': Object.keys(nn.utils),
  'nn.utils.rnn': Object.keys(nn.utils.rnn),
  optim: Object.keys(optim),
  'optim.Optimizer': members(optim.Optimizer as unknown as { prototype: object }),
  'optim.lr_scheduler': Object.keys(optim.lrScheduler),
  amp: Object.keys(torch.amp),
  autograd: Object.keys(torch.autograd),
  'autograd.graph': [],
  profiler: Object.keys(torch.profiler),
  'utils.data': Object.keys(torch.data),
  cuda: Object.keys(torch.cuda),
};

/** These sections leave what the operations cover to `ops`. */
const COVERED_BY_OPS = ['Tensor', 'torch'];

test('every module has its section', () => {
  assert.deepEqual([...sections.keys()], Object.keys(EXPORTS));
});

describe('docs/parity-pytorch.md and the package agree', () => {
  for (const [module, section] of sections) {
    const exported = EXPORTS[module]!.filter((name) => !INTERNAL[module]?.includes(name));

    test(`${module}: what is listed exists, what is absent does not, and nothing is left out`, () => {
      const listed = new Set([...section.same, ...section.alsoHere]);
      assert.deepEqual(
        [...listed].filter((name) => !exported.includes(name)),
        [],
        'listed, but not exported',
      );
      assert.deepEqual(
        [...section.absent].filter((name) => exported.includes(camelCase(name))),
        [],
        'called absent, but exported',
      );
      assert.deepEqual(
        exported.filter((name) => !listed.has(name) && !section.differsHere.has(name)),
        [],
        'exported, but not listed',
      );
    });

    const theirs = names[module];
    if (theirs === undefined) continue;
    test(`${module}: every public name of PyTorch is accounted for`, () => {
      const here = new Set(exported);
      const operations = COVERED_BY_OPS.includes(module)
        ? new Set([...Object.keys(torch.ops), ...EXPORTS.Tensor!, ...Object.keys(nn.functional)])
        : new Set<string>();
      const missing = theirs.filter(
        (name) =>
          !here.has(camelCase(name)) &&
          !operations.has(name) &&
          !operations.has(camelCase(name)) &&
          !lists(section.differs, name) &&
          !lists(section.absent, name),
      );
      assert.deepEqual(missing, []);
      const known = new Set(theirs.map(camelCase));
      assert.deepEqual(
        [...section.same].filter((name) => !known.has(name)),
        [],
        'called the same, but PyTorch has no such name',
      );
    });
  }
});
