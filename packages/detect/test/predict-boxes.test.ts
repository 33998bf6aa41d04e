import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import fc from 'fast-check';
import { letterbox } from '../src/augment/geometry.ts';
import { type BoxGain, fromNormalized, scaleBoxes } from '../src/predict/boxes.ts';
import { readFixture } from './fixture.ts';

interface ScaleGolden {
  from_hw: [number, number];
  to_hw: [number, number];
  boxes: number[][];
  out_8_4_190: number[][];
  out_8_3: number[][];
}

const size = ([height, width]: [number, number]) => ({ width, height });

describe('scaleBoxes', () => {
  for (const sample of readFixture<ScaleGolden[]>('scale_boxes.json')) {
    for (const [gain, key] of [
      ['axis', 'out_8_4_190'],
      ['single', 'out_8_3'],
    ] as const satisfies [BoxGain, keyof ScaleGolden][]) {
      it(`gives the reference's boxes from ${sample.from_hw} to ${sample.to_hw}, ${gain}`, () => {
        const boxes = Float32Array.from(sample.boxes.flat());
        const scaled = scaleBoxes(boxes, size(sample.from_hw), size(sample.to_hw), gain);
        sample[key].flat().forEach((expected, i) => {
          assert.ok(Math.abs(scaled[i]! - expected) <= 1e-4, `[${i}]: ${scaled[i]} is not ${expected}`);
        });
      });
    }
  }

  it('undoes the letterbox to a fraction of a pixel', () => {
    const side = fc.integer({ min: 32, max: 2000 });
    const share = fc.double({ min: 0, max: 1, noNaN: true });
    fc.assert(
      fc.property(side, side, fc.tuple(share, share, share, share), (width, height, [a, b, c, d]) => {
        const image = { width, height };
        const network = { width: 640, height: 640 };
        const box = [
          Math.min(a, c) * width,
          Math.min(b, d) * height,
          Math.max(a, c) * width,
          Math.max(b, d) * height,
        ];
        const fit = letterbox(image, network);
        const inNetwork = box.map((v, i) =>
          i % 2 === 0 ? (v * fit.width) / width + fit.left : (v * fit.height) / height + fit.top,
        );
        const back = scaleBoxes(Float32Array.from(inNetwork), network, image);
        box.forEach((v, i) => {
          assert.ok(Math.abs(back[i]! - v) < 0.01, `${back[i]} is not ${v}`);
        });
      }),
    );
  });
});

describe('fromNormalized', () => {
  it('turns centres and sizes into corners', () => {
    const boxes = fromNormalized(Float32Array.of(0.5, 0.5, 0.5, 1, 0.25, 0.25, 0, 0), {
      width: 200,
      height: 100,
    });
    assert.deepEqual(Array.from(boxes), [50, 0, 150, 100, 50, 25, 50, 25]);
  });
});
