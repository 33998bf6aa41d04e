/** Training at several sizes, against the sizes that Ultralytics 8.4.190 gives its batches, run as a black box. */
import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { scope, tensor } from '@mezzo/torch';
import { scaledSize } from '../src/augment/multi-scale.ts';
import { toInput } from '../src/engine/images.ts';

const BATCHES = 6000;

/** How often each size comes, in parts of all. */
function sizes(fraction: number, imgsz: number, width: number, height: number): Record<string, number> {
  const counts: Record<string, number> = {};
  for (let index = 0; index < BATCHES; index++) {
    const size = scaledSize({ width, height }, { fraction, imgsz, stride: 32, seed: 0 }, 1, index);
    const key = `${size.height}x${size.width}`;
    counts[key] = (counts[key] ?? 0) + 1 / BATCHES;
  }
  return counts;
}

describe('the size of a batch', () => {
  const cases: [string, [number, number, number, number], Record<string, number>][] = [
    ['half', [0.5, 64, 64, 64], { '32x32': 1 / 3, '64x64': 1 / 3, '96x96': 1 / 3 }],
    ['a quarter', [0.25, 64, 64, 64], { '32x32': 0.25, '64x64': 0.5, '96x96': 0.25 }],
    ['a tenth', [0.1, 64, 64, 64], { '32x32': 7 / 45, '64x64': 32 / 45, '96x96': 6 / 45 }],
    ['all', [1, 64, 64, 64], { '32x32': 0.25, '64x64': 0.25, '96x96': 0.25, '128x128': 0.25 }],
    [
      'half, of wide pictures',
      [0.5, 128, 128, 96],
      { '64x64': 0.2, '96x96': 0.2, '96x128': 0.2, '128x160': 0.2, '160x192': 0.2 },
    ],
  ];
  for (const [name, arguments_, expected] of cases) {
    it(`± ${name}: the reference's sizes, as often`, () => {
      const found = sizes(...arguments_);
      assert.deepEqual(Object.keys(found).sort(), Object.keys(expected).sort());
      for (const [size, part] of Object.entries(expected)) {
        assert.ok(Math.abs(found[size]! - part) < 0.02, `${size}: ${found[size]}, expected ${part}`);
      }
    });
  }

  it('is a function of seed, epoch and batch, and that of the pictures without multi_scale', () => {
    const options = { fraction: 0.5, imgsz: 640, stride: 32, seed: 7 };
    const pictures = { width: 640, height: 640 };
    const list = (epoch: number, seed: number) =>
      Array.from({ length: 20 }, (_, i) => scaledSize(pictures, { ...options, seed }, epoch, i).width);
    assert.deepEqual(list(3, 7), list(3, 7));
    assert.notDeepEqual(list(3, 7), list(4, 7));
    assert.notDeepEqual(list(3, 7), list(3, 8));
    assert.equal(scaledSize(pictures, { ...options, fraction: 0 }, 3, 1), pictures);
  });
});

describe('the input', () => {
  it('is scaled bilinearly between the centres of pixels, and divided', () => {
    const values = scope(() => {
      const images = tensor(
        [
          [
            [
              [0, 255],
              [51, 102],
            ],
          ],
        ],
        { dtype: 'uint8' },
      );
      const precision = { dtype: 'float32', channelsLast: false } as const;
      return Array.from(
        toInput(images, 'cpu', precision, { width: 4, height: 2 }).toTypedArray() as Float32Array,
      );
    });
    // torch.nn.functional.interpolate(mode='bilinear', align_corners=False)
    const expected = [0, 0.25, 0.75, 1, 0.2, 0.25, 0.35, 0.4];
    for (const [i, value] of values.entries())
      assert.ok(Math.abs(value - expected[i]!) < 1e-6, String(values));
  });
});
