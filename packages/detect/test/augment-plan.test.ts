/** The one-pass training picture against the step-by-step reference, and its labels against its pixels. */
import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { native } from '@mezzo/libtorch';
import { AUGMENTATION_DEFAULTS, type Augmentation } from '../src/augment/augmentation.ts';
import { drawSample, type LayerDraw, type SampleDraw } from '../src/augment/draw.ts';
import { letterbox, NO_AFFINE } from '../src/augment/geometry.ts';
import { colourJitter, type HsvFactors, hsvTables } from '../src/augment/hsv.ts';
import {
  type LayerImages,
  type PictureLayers,
  type TrainingPicture,
  trainingPicture,
} from '../src/augment/plan.ts';
import { CounterRandom } from '../src/augment/random.ts';
import { blankRaster, jitterHsv, type Raster, toGray } from '../src/augment/reference.ts';
import { BORDER, letterboxJob, type SourceImage } from '../src/augment/warp-job.ts';
import { drawPicture } from '../src/datasets/picture.ts';
import { referencePicture } from './reference-picture.ts';

const IMGSZ = 192;
const shape = (channels: number) => ({ imgsz: IMGSZ, output: { width: IMGSZ, height: IMGSZ }, channels });
const NO_COLOUR = { hsv_h: 0, hsv_s: 0, hsv_v: 0 };
const { imageWarp } = native();

/** The upper left part of a generated picture. */
function source(width: number, height: number, seed: number): SourceImage {
  const side = Math.max(width, height);
  const whole = drawPicture(['circle', 'square', 'triangle'], side, seed, 0, 0).pixels;
  const pixels = new Uint8Array(width * height * 3);
  for (let y = 0; y < height; y++) {
    pixels.set(whole.subarray(y * side * 3, (y * side + width) * 3), y * width * 3);
  }
  return { pixels, width, height };
}

/** Labels all over an image: some of them lie in every area. */
const EVERYWHERE = Float32Array.from({ length: 64 * 5 }, (_, i) => {
  const [x, y] = [Math.floor(i / 5) % 8, Math.floor(i / 40)];
  return [0, (x + 0.5) / 8, (y + 0.5) / 8, 1 / 8, 1 / 8][i % 5]!;
});

/** The images of each layer of a draw: all four for a mosaic, else the first. */
function layersOf(draw: SampleDraw, images: LayerImages): PictureLayers {
  const chosen = (layer: LayerDraw) => (layer.mosaic ? images : images.slice(0, 1));
  return {
    own: chosen(draw.layer),
    ...(draw.mixup ? { mixup: chosen(draw.mixup.layer) } : {}),
    ...(draw.cutmix
      ? { cutmix: chosen(draw.cutmix.layer).map((image) => ({ ...image, labels: EVERYWHERE })) }
      : {}),
  };
}

async function render({ job }: TrainingPicture, channels: 1 | 3 = 3): Promise<Raster> {
  const data = new Uint8Array(IMGSZ * IMGSZ * channels);
  await imageWarp(data, job.numbers, job.sources);
  return { data, width: IMGSZ, height: IMGSZ, channels };
}

describe('one pass against resize, mosaic, warp, colour and flip in turn', () => {
  const variants: Record<string, Partial<Augmentation>> = {
    'the default recipe': {},
    'rotation and shear': { degrees: 30, shear: 10, ...NO_COLOUR },
    perspective: { perspective: 0.0005, degrees: 10, ...NO_COLOUR },
    'without mosaic': { mosaic: 0, flipud: 0.5 },
    'mixup and swapped channels': { mixup: 1, bgr: 0.5 },
    'a part of another image': { cutmix: 1, flipud: 0.5 },
    'mixup, and a part of another image': { mixup: 1, cutmix: 1, degrees: 20, mosaic: 0.5 },
  };
  const sets = [
    // Two interpolations, or one, of images that need no resize: the seams of the mosaic remain.
    {
      name: 'images of the training size',
      sides: [
        [192, 144],
        [192, 192],
        [120, 192],
        [192, 128],
      ],
      mean: 0.75,
      most: 2,
    },
    // The reference interpolates twice and is smoother.
    {
      name: 'images that are enlarged',
      sides: [
        [100, 80],
        [80, 120],
        [96, 96],
        [140, 100],
      ],
      mean: 1.5,
      most: 8,
    },
  ];
  for (const { name, sides, mean, most } of sets) {
    const images = sides.map(([w, h], i) => ({ source: source(w!, h!, i), labels: new Float32Array(0) }));
    for (const [variant, changes] of Object.entries(variants)) {
      it(`${variant}, ${name}: mean difference up to ${mean}, 97 % of values within ${most} levels`, async () => {
        const augment = { ...AUGMENTATION_DEFAULTS, ...changes };
        for (let sample = 0; sample < 3; sample++) {
          const draw = drawSample({ augment, seed: 5, epoch: 0, sample, imgsz: IMGSZ, pool: 4 });
          const layers = layersOf(draw, images);
          const fast = await render(trainingPicture(draw, layers, shape(3)));
          const area = draw.cutmix?.areas.find(([x1, y1, x2, y2]) => x2 > x1 && y2 > y1) ?? null;
          const reference = await referencePicture(draw, layers, IMGSZ, area);
          const distances = Array.from(fast.data, (level, i) => Math.abs(level - reference.data[i]!));
          distances.sort((a, b) => a - b);
          const average = distances.reduce((a, b) => a + b) / distances.length;
          assert.ok(average <= mean, `sample ${sample}: mean difference ${average}`);
          const bound = distances[Math.floor(0.97 * distances.length)]!;
          assert.ok(bound <= most, `sample ${sample}: 3 % differ by ${bound} or more`);
        }
      });
    }
  }
});

describe('labels', () => {
  /** A black image with a white rectangle, whose label is the rectangle. */
  function marked(
    width: number,
    height: number,
    box: readonly [number, number, number, number],
  ): LayerImages[number] {
    const pixels = new Uint8Array(width * height * 3);
    const [x1, y1, x2, y2] = box;
    for (let y = y1; y < y2; y++) pixels.fill(255, (y * width + x1) * 3, (y * width + x2) * 3);
    const labels = [1, (x1 + x2) / 2 / width, (y1 + y2) / 2 / height, (x2 - x1) / width, (y2 - y1) / height];
    return { source: { pixels, width, height }, labels: Float32Array.from(labels) };
  }

  function whiteBox({ data, width, height }: Raster): [number, number, number, number] {
    let [x1, y1, x2, y2] = [width, height, 0, 0];
    for (let y = 0; y < height; y++) {
      for (let x = 0; x < width; x++) {
        if (data[(y * width + x) * 3]! < 180) continue;
        [x1, y1, x2, y2] = [Math.min(x1, x), Math.min(y1, y), Math.max(x2, x + 1), Math.max(y2, y + 1)];
      }
    }
    return [x1, y1, x2, y2];
  }

  it('lie around the pixels of their objects, in mosaics and alone, turned, sheared, flipped', async () => {
    const recipes: Partial<Augmentation>[] = [
      { mosaic: 1, flipud: 0.5 },
      { mosaic: 0, degrees: 45, flipud: 0.5 },
      { mosaic: 0.5, degrees: 20, shear: 15, perspective: 0.0003 },
    ];
    const black = marked(100, 80, [0, 0, 0, 0]);
    let checked = 0;
    for (const recipe of recipes) {
      const augment = { ...AUGMENTATION_DEFAULTS, ...NO_COLOUR, ...recipe };
      for (let sample = 0; sample < 60; sample++) {
        const draw = drawSample({ augment, seed: 9, epoch: 1, sample, imgsz: IMGSZ, pool: 1 });
        const object = marked(150, 100, [40, 30, 110, 80]);
        const images = draw.layer.mosaic ? [object, black, black, black] : [object];
        const picture = trainingPicture(draw, { own: images }, shape(3));
        if (picture.labels.length === 0) continue;
        assert.equal(picture.labels.length, 5);
        const [cls, cx, cy, w, h] = Array.from(picture.labels, (v, i) =>
          i === 0 ? v : v * IMGSZ,
        ) as number[];
        assert.equal(cls, 1);
        const box = [cx! - w! / 2, cy! - h! / 2, cx! + w! / 2, cy! + h! / 2];
        const seen = whiteBox(await render(picture));
        // An object cut by the picture's edge: the box of its corners may exceed what is left of it.
        if (seen.some((v, i) => (i < 2 ? v === 0 : v === IMGSZ))) continue;
        // The corner of a turned object is thinner than a pixel.
        for (const [i, v] of seen.entries()) assert.ok(Math.abs(v - box[i]!) <= 3, `${seen} is not ${box}`);
        checked++;
      }
    }
    assert.ok(checked > 60, `only ${checked} pictures could be compared`);
  });

  it('of a lone image without affine and flips are only moved by the padding', () => {
    const draw: SampleDraw = {
      layer: { mosaic: null, affine: NO_AFFINE },
      mixup: null,
      cutmix: null,
      colour: null,
      flipud: false,
      fliplr: false,
      bgr: false,
    };
    const { labels } = trainingPicture(draw, { own: [marked(192, 96, [48, 24, 96, 72])] }, shape(3));
    assert.deepEqual(Array.from(labels), [1, 0.375, 0.5, 0.25, 0.25]);
  });

  it('are left out with an image that did not decode; its tile stays border', async () => {
    const augment = { ...AUGMENTATION_DEFAULTS, ...NO_COLOUR, mosaic: 0 };
    const draw = drawSample({ augment, seed: 0, epoch: 0, sample: 0, imgsz: IMGSZ, pool: 1 });
    const picture = trainingPicture(
      draw,
      { own: [{ source: null, labels: Float32Array.of(0, 0.5, 0.5, 1, 1) }] },
      shape(3),
    );
    assert.equal(picture.labels.length, 0);
    assert.ok((await render(picture)).data.every((level) => level === BORDER));
  });
});

describe('imageWarp', () => {
  const identity: SampleDraw = {
    layer: { mosaic: null, affine: NO_AFFINE },
    mixup: null,
    cutmix: null,
    colour: null,
    flipud: false,
    fliplr: false,
    bgr: false,
  };

  /** A picture of random colours. */
  function noise(): SourceImage {
    const random = new CounterRandom(3, 'shapes', 0, 0);
    const pixels = Uint8Array.from({ length: IMGSZ * IMGSZ * 3 }, () => random.integer(256));
    return { pixels, width: IMGSZ, height: IMGSZ };
  }

  it('copies an image that needs no change', async () => {
    const image = noise();
    const picture = trainingPicture(
      identity,
      { own: [{ source: image, labels: new Float32Array(0) }] },
      shape(3),
    );
    assert.deepEqual((await render(picture)).data, image.pixels);
  });

  it('jitters colours within one level of the look-up tables', async () => {
    const image = noise();
    const factors: HsvFactors[] = [
      [0.015, 0.7, 0.4],
      [-0.015, -0.7, -0.4],
      [0.3, 0.25, -0.15],
      [-0.45, 0.9, 0.1],
      [0, 0, 0],
      [0.5, -1, 1],
    ];
    for (const r of factors) {
      const draw = { ...identity, colour: colourJitter(r) };
      const picture = trainingPicture(
        draw,
        { own: [{ source: image, labels: new Float32Array(0) }] },
        shape(3),
      );
      const { data } = await render(picture);
      const expected = { ...image, data: Uint8Array.from(image.pixels), channels: 3 };
      jitterHsv(expected, hsvTables(r));
      const worst = data.reduce((most, level, i) => Math.max(most, Math.abs(level - expected.data[i]!)), 0);
      assert.ok(worst <= 1, `factors ${r}: ${worst} levels`);
    }
  });

  it('makes luma pictures for one-channel networks, without colour jitter', async () => {
    const image = noise();
    const draw = { ...identity, colour: colourJitter([0.1, 0.5, 0.3]) };
    const picture = trainingPicture(
      draw,
      { own: [{ source: image, labels: new Float32Array(0) }] },
      shape(1),
    );
    const { data } = await render(picture, 1);
    assert.deepEqual(data, toGray({ ...image, data: image.pixels, channels: 3 }).data);
  });

  it('refuses jobs that do not fit their buffers', () => {
    const image = noise();
    const { job } = trainingPicture(
      identity,
      { own: [{ source: image, labels: new Float32Array(0) }] },
      shape(3),
    );
    const out = new Uint8Array(IMGSZ * IMGSZ * 3);
    const changed = (at: number, value: number) => job.numbers.with(at, value);
    const cases: [() => unknown, string][] = [
      [
        () => imageWarp(out.subarray(1), job.numbers, job.sources),
        'out must hold width x height x channels bytes',
      ],
      [
        () => imageWarp(out, job.numbers, [image.pixels.subarray(3)]),
        'a source must hold width x height x 3 bytes for every three channels',
      ],
      [() => imageWarp(out, job.numbers.subarray(0, 26), job.sources), "the job ends before 'matrix'"],
      [() => imageWarp(out, changed(0, 0), job.sources), "'width' must be an integer from 1 to 65500"],
      [() => imageWarp(out, changed(2, 0), job.sources), "'channels' must be an integer from 1 to 1024"],
      [
        () => imageWarp(out, changed(12, IMGSZ + 1), job.sources),
        "'cut right' must be an integer from 0 to 192",
      ],
      [() => imageWarp(out, changed(24, Number.NaN), job.sources), "'matrix' is not a finite number"],
      [() => imageWarp(out, changed(21, 1), job.sources), "'source' must be an integer from 0 to 0"],
      [() => imageWarp(out, [] as unknown as Float64Array, []), 'the job must be a Float64Array'],
    ];
    for (const [call, message] of cases) assert.throws(call, { code: 'BAD_ARGUMENT', message });
  });
});

describe('imageLetterbox', () => {
  const { imageLetterbox } = native();
  const image = source(50, 30, 8);
  const canvas = { width: 64, height: 48 };
  const box = letterbox(image, canvas);

  it('makes the luma of the colour picture for one-channel networks', async () => {
    const colour = blankRaster(64, 48, 3, 0);
    await imageLetterbox(colour.data, letterboxJob(image, box, canvas, 3), image.pixels);
    const grey = new Uint8Array(64 * 48);
    await imageLetterbox(grey, letterboxJob(image, box, canvas, 1), image.pixels);
    assert.deepEqual(grey, toGray(colour).data);
  });

  it('refuses jobs that do not fit their buffers', () => {
    const job = letterboxJob(image, box, canvas, 3);
    const out = new Uint8Array(64 * 48 * 3);
    const cases: [() => unknown, string][] = [
      [
        () => imageLetterbox(out.subarray(1), job, image.pixels),
        'out must hold width x height x channels bytes',
      ],
      [
        () => imageLetterbox(out, job, image.pixels.subarray(1)),
        'the source must hold width x height x 3 bytes for every three channels',
      ],
      [
        () => imageLetterbox(out, job.with(6, 65), image.pixels),
        "'new width' must be an integer from 1 to 64",
      ],
      [() => imageLetterbox(out, job.with(8, 1), image.pixels), "'left' must be an integer from 0 to 0"],
      [
        () => imageLetterbox(out, Float64Array.of(...job, 0), image.pixels),
        'the job is longer than a letterbox',
      ],
    ];
    for (const [call, message] of cases) assert.throws(call, { code: 'BAD_ARGUMENT', message });
  });
});
