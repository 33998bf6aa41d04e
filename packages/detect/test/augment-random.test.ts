import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { AUGMENTATION_DEFAULTS } from '../src/augment/augmentation.ts';
import { drawSample } from '../src/augment/draw.ts';
import { CounterRandom, epochOrder, philox4x32 } from '../src/augment/random.ts';

describe('philox4x32', () => {
  // Known-answer vectors of the Random123 distribution: counter, key, result.
  const VECTORS = [
    ['00000000 00000000 00000000 00000000', '00000000 00000000', '6627e8d5 e169c58d bc57ac4c 9b00dbd8'],
    ['ffffffff ffffffff ffffffff ffffffff', 'ffffffff ffffffff', '408f276d 41c83b0e a20bc7c6 6d5451fd'],
    ['243f6a88 85a308d3 13198a2e 03707344', 'a4093822 299f31d0', 'd16cfe09 94fdcceb 5001e420 24126ea1'],
  ] as const;
  const words = (text: string) => text.split(' ').map((word) => Number.parseInt(word, 16));
  for (const [counter, key, result] of VECTORS) {
    it(`counter ${counter}`, () => {
      const [c0, c1, c2, c3] = words(counter) as [number, number, number, number];
      const [k0, k1] = words(key) as [number, number];
      assert.deepEqual(philox4x32([c0, c1, c2, c3], [k0, k1]), words(result));
    });
  }
});

describe('CounterRandom', () => {
  const values = (seed: number, epoch: number, sample: number) => {
    const random = new CounterRandom(seed, 'affine', epoch, sample);
    return Array.from({ length: 10 }, () => random.uint32());
  };
  it('repeats a sequence, and differs by seed, epoch, sample and stream', () => {
    const base = values(1, 2, 3);
    assert.deepEqual(values(1, 2, 3), base);
    const flips = new CounterRandom(1, 'flip', 2, 3);
    const others = [values(2, 2, 3), values(1, 3, 3), values(1, 2, 4), values(1 + 2 ** 32, 2, 3)];
    for (const other of [...others, base.map(() => flips.uint32())]) assert.notDeepEqual(other, base);
  });
  it('has the mean and variance of its distributions', () => {
    const random = new CounterRandom(7, 'mixup', 0, 0);
    const moments = (draw: () => number) => {
      const drawn = Array.from({ length: 20000 }, draw);
      const mean = drawn.reduce((a, b) => a + b) / drawn.length;
      return [mean, drawn.reduce((a, b) => a + (b - mean) ** 2, 0) / drawn.length];
    };
    const close = ([mean, variance]: number[], expected: [number, number]) => {
      assert.ok(Math.abs(mean! - expected[0]) < 0.03, `mean ${mean}`);
      assert.ok(Math.abs(variance! / expected[1] - 1) < 0.06, `variance ${variance}`);
    };
    close(
      moments(() => random.between(-1, 1)),
      [0, 1 / 3],
    );
    close(
      moments(() => random.normal()),
      [0, 1],
    );
    close(
      moments(() => random.beta(32, 32)),
      [0.5, 0.25 / 65],
    );
    close(
      moments(() => random.integer(3)),
      [1, 2 / 3],
    );
  });
});

describe('epochOrder', () => {
  it('is a permutation that depends on seed and epoch only', () => {
    const order = epochOrder(205, 3, 4);
    assert.deepEqual(
      [...order].sort((a, b) => a - b),
      Array.from({ length: 205 }, (_, i) => i),
    );
    assert.deepEqual(epochOrder(205, 3, 4), order);
    assert.notDeepEqual(epochOrder(205, 3, 5), order);
    assert.notDeepEqual(epochOrder(205, 4, 4), order);
  });
});

describe('drawSample', () => {
  const context = { augment: AUGMENTATION_DEFAULTS, seed: 0, epoch: 0, imgsz: 640, pool: 128 };
  const draws = Array.from({ length: 2000 }, (_, sample) => drawSample({ ...context, sample }));
  it('stays within the ranges of the recipe', () => {
    for (const { layer, mixup, flipud, bgr, colour } of draws) {
      assert.ok(layer.mosaic);
      for (const c of layer.mosaic.centre) assert.ok(Number.isInteger(c) && c >= 320 && c < 960);
      for (const p of layer.mosaic.partners) assert.ok(Number.isInteger(p) && p >= 0 && p < 128);
      const { angle, scale, translateX, translateY, shearX, perspectiveX } = layer.affine;
      assert.ok(scale >= 0.5 && scale <= 1.5);
      for (const t of [translateX, translateY]) assert.ok(t >= 0.4 && t <= 0.6);
      assert.deepEqual([Math.abs(angle), Math.abs(shearX), Math.abs(perspectiveX)], [0, 0, 0]);
      assert.deepEqual([mixup, flipud, bgr], [null, false, false]);
      assert.ok(colour && (colour.hue <= 2 || colour.hue >= 177));
      assert.ok(colour.saturation >= 0.3 && colour.saturation <= 1.7);
      assert.ok(colour.value >= 0.6 && colour.value <= 1.4);
    }
  });
  it('flips half of the pictures, and reaches every partner', () => {
    const flipped = draws.filter(({ fliplr }) => fliplr).length;
    assert.ok(Math.abs(flipped - 1000) < 100, `${flipped} of 2000`);
    assert.equal(new Set(draws.flatMap(({ layer }) => layer.mosaic!.partners)).size, 128);
  });
  it('draws the geometry alike whether or not colour and flips are on', () => {
    const plain = { ...AUGMENTATION_DEFAULTS, hsv_h: 0, hsv_s: 0, hsv_v: 0, fliplr: 0 };
    for (const sample of [0, 17, 1999]) {
      const draw = drawSample({ ...context, augment: plain, sample });
      assert.deepEqual(draw.layer, draws[sample]!.layer);
      assert.equal(draw.colour, null);
    }
  });
});
