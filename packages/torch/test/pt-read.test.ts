import assert from 'node:assert/strict';
import { readFileSync, writeFileSync } from 'node:fs';
import { describe, test } from 'node:test';
import { fileURLToPath } from 'node:url';
import { isModule, loadPt, type PtValue, readPt, scope, type Tensor } from '../src/index.ts';
import { numbersOf } from './assert-close.ts';
import { fixture } from './fixture.ts';
import { compressed, int, named, program, tensorOf, text, writePt } from './pt-file.ts';
import { scratch } from './scratch.ts';

const { at } = scratch();
const made = (name: string) => fileURLToPath(new URL(`../../test/fixtures/pt/${name}`, import.meta.url));

interface Expected {
  dtype: string;
  shape: number[];
  stride: number[];
  offset: number;
  values: number[];
}
const EXPECTED = fixture<Record<string, Record<string, Expected>>>('pt/expected.json');

const valuesOf = (t: Tensor): number[] => (t.numel() === 0 ? [] : numbersOf(t.to('float64')).map(Number));
const entry = (value: PtValue, key: PtValue): PtValue => (value as Map<PtValue, PtValue>).get(key)!;

/** fixtures/pt/make.py wrote these with PyTorch 2.15. */
describe('what torch.save wrote', () => {
  for (const [name, rows] of Object.entries(EXPECTED)) {
    test(`${name}: names in order, dtypes, shapes, strides, offsets and values`, () => {
      scope(() => {
        const file = readPt(made(name));
        const state = file.stateDict(name === 'network.pt' ? entry(file.value, 'model') : file.value)!;
        assert.deepEqual([...state.keys()], Object.keys(rows));
        const tensors = file.load(state);
        for (const [key, { values, ...row }] of Object.entries(rows)) {
          const { dtype, shape, stride, offset } = state.get(key)!;
          assert.deepEqual({ dtype, shape, stride, offset }, row, key);
          const tensor = tensors[key]!;
          assert.deepEqual([tensor.dtype, tensor.shape, tensor.stride()], [dtype, shape, stride], key);
          if (!dtype.startsWith('complex')) assert.deepEqual(valuesOf(tensor), values, key);
        }
      });
    });
  }

  test('the container before PyTorch 1.6 is read, and says so', () => {
    assert.equal(readPt(made('legacy.pt')).format, 'legacy');
    assert.equal(readPt(made('views.pt')).format, 'zip');
  });

  test('tensors that share a storage share memory, and a parameter is told from a buffer', () => {
    scope(() => {
      const { base, slice } = loadPt(made('views.pt'));
      base!.fill_(9);
      assert.deepEqual(valuesOf(slice!), [9, 9, 9, 9]);
      const state = readPt(made('views.pt')).stateDict()!;
      assert.deepEqual(
        ['parameter', 'noted', 'base'].map((name) => [
          state.get(name)!.parameter,
          state.get(name)!.requiresGrad,
        ]),
        [
          [true, true],
          [true, true],
          [false, false],
        ],
      );
    });
  });

  test('a network saved as an object is opaque: class names, attributes, and beside it plain values', () => {
    const { value } = readPt(made('network.pt'));
    const network = entry(value, 'model');
    assert.ok(isModule(network));
    assert.equal(network.className, '__main__.Net');
    assert.equal(network.attribute('training'), true);
    assert.equal(network.attribute('nothing'), undefined);
    assert.deepEqual(
      ['epoch', 'names', 'best', 'big'].map((key) => entry(value, key)),
      [3, new Map([[0, 'cat']]), Infinity, 2n ** 80n],
    );
  });

  test('compressed entries are read too', () => {
    const path = at('deflated.pt');
    writeFileSync(path, compressed(readFileSync(made('views.pt'))));
    scope(() => {
      assert.deepEqual(valuesOf(loadPt(path).transposed!), EXPECTED['views.pt']!.transposed!.values);
    });
  });

  test('a tensor called __proto__ is a name like any other', () => {
    const entries = `${text('__proto__')}${tensorOf('0', 1, { shape: [1], stride: [1] })}`;
    const path = writePt(at('proto.pt'), {
      'data.pkl': program(`}(${entries}u`),
      'data/0': Buffer.from(Float32Array.of(4).buffer),
    });
    scope(() => {
      const loaded = loadPt(path);
      assert.deepEqual(Object.keys(loaded), ['__proto__']);
      assert.equal(Object.getPrototypeOf(loaded), Object.prototype);
    });
  });

  test('any byte but 0 of a bool is true', () => {
    const bools = `(${text('storage')}${named('torch', 'BoolStorage')}${text('0')}${text('cpu')}${int(3)}tQ`;
    const view = `(${bools}${int(0)}(${int(3)}t(${int(1)}t\x89${named('collections', 'OrderedDict')})Rt`;
    const path = writePt(at('bool.pt'), {
      'data.pkl': program(`}${text('m')}${named('torch._utils', '_rebuild_tensor_v2')}${view}Rs`),
      'data/0': Uint8Array.of(0, 2, 255),
    });
    scope(() => assert.deepEqual(valuesOf(loadPt(path).m!.float()), [0, 1, 1]));
  });
});
