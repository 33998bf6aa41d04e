/** `rect=true` in training, against the batches of Ultralytics 8.4.190, run as a black box on the same sizes. */
import assert from 'node:assert/strict';
import path from 'node:path';
import { describe, it } from 'node:test';
import { native } from '@mezzo/libtorch';
import sharp from 'sharp';
import { AUGMENTATION_DEFAULTS } from '../src/augment/augmentation.ts';
import { type ImageMemory, plainMemory } from '../src/data/image-memory.ts';
import { rectShape } from '../src/data/rect.ts';
import { TrainLoader, type TrainLoaderOptions } from '../src/data/train-loader.ts';
import { scratchFolder } from './scratch.ts';

const root = scratchFolder();

type Given = 'images' | 'imgsz' | 'batch' | 'augment';

function trainLoader(
  options: Pick<TrainLoaderOptions<ImageMemory>, Given> & Partial<TrainLoaderOptions<ImageMemory>>,
): TrainLoader<ImageMemory> {
  return new TrainLoader({
    channels: 3,
    seed: 0,
    workers: 2,
    rect: true,
    allocate: plainMemory(),
    pixels: native(),
    ...options,
  });
}

describe('TrainLoader with rect', () => {
  // Sizes, order of the files and shapes of the batches as Ultralytics 8.4.190 has them.
  const sizes: [number, number][] = [
    [100, 60],
    [60, 100],
    [100, 100],
    [128, 64],
    [64, 128],
    [120, 90],
    [90, 120],
    [640, 200],
  ];
  const expected = [
    ['7', '3', '128x64'],
    ['0', '5', '128x96'],
    ['2', '6', '128x128'],
    ['1', '4', '96x128'],
  ];
  const plain = { ...AUGMENTATION_DEFAULTS, hsv_h: 0, hsv_s: 0, hsv_v: 0, translate: 0, scale: 0, fliplr: 0 };
  const joining = { ...plain, mosaic: 1, mixup: 1, cutmix: 1 };

  const set = async () =>
    Promise.all(
      sizes.map(async ([width, height], i) => {
        const file = path.join(root, `rect${i}.png`);
        const level = 10 * (i + 1);
        const grey = { width, height, channels: 3 as const, background: { r: level, g: level, b: level } };
        await sharp({ create: grey }).png().toFile(file);
        return { path: file, width, height, labels: Float32Array.of(0, 0.5, 0.5, 1, 1) };
      }),
    );

  it("has the reference's shapes and order in every epoch, and joins no images", async () => {
    const loader = trainLoader({ images: await set(), imgsz: 128, batch: 2, augment: joining });
    for (const epoch of [0, 1]) {
      const seen: string[][] = [];
      for await (const { paths, shape, memory } of loader.epoch(epoch)) {
        const names = paths.map((file) => path.basename(file, '.png').slice(4));
        seen.push([...names, `${shape[2]}x${shape[1]}`]);
        const [, height, width] = shape;
        for (const [i, name] of names.entries()) {
          const middle = memory.bytes[((i * height + height / 2) * width + width / 2) * 3];
          assert.equal(middle, 10 * (Number(name) + 1));
        }
        memory.release();
      }
      assert.deepEqual(seen, expected);
    }
  });

  it('places labels as the reference does, to half a pixel: it halves odd paddings for boxes only', async () => {
    const loader = trainLoader({ images: await set(), imgsz: 128, batch: 2, augment: joining });
    const reference = [
      [0.5, 0.5, 1, 0.625],
      [0.5, 0.5, 1, 1],
      [0.5, 0.5, 1, 0.802],
      [0.5, 0.5, 1, 1],
      [0.5, 0.5, 1, 1],
      [0.5, 0.5, 0.75, 1],
      [0.5, 0.5, 0.802, 1],
      [0.5, 0.5, 0.667, 1],
    ];
    let row = 0;
    for await (const { targets, shape, memory } of loader.epoch(0)) {
      for (let i = 0; i < targets.length; i += 6, row++) {
        for (const [k, value] of targets.subarray(i + 2, i + 6).entries()) {
          const pixels = Math.abs(value - reference[row]![k]!) * shape[k % 2 === 0 ? 2 : 1];
          assert.ok(pixels <= (k < 2 ? 0.501 : 0.1), `row ${row}: ${pixels} pixels`);
        }
      }
      memory.release();
    }
    assert.equal(row, reference.length);
  });

  it('scales wide pictures as a whole with multi_scale', async () => {
    const images = (await set()).filter(({ width, height }) => width > height);
    const loader = trainLoader({ images, imgsz: 128, batch: 1, augment: plain, multiScale: 0.5 });
    for await (const { input, shape, memory } of loader.epoch(0)) {
      const gain = input.width / shape[2];
      assert.equal(input.height, Math.ceil((shape[1] * gain) / 32) * 32);
      memory.release();
    }
  });
});

describe('the shape of a batch', () => {
  it('makes pictures no larger than a batch needs', () => {
    const wide = { width: 640, height: 480 };
    const tall = { width: 480, height: 640 };
    const shape = (sizes: { width: number; height: number }[], pad = 0.5) => rectShape(sizes, 640, 32, pad);
    assert.deepEqual(shape([wide, wide]), { width: 672, height: 512 });
    assert.deepEqual(shape([tall]), { width: 512, height: 672 });
    assert.deepEqual(shape([wide, tall]), { width: 672, height: 672 });
    assert.deepEqual(shape([wide], 0), { width: 640, height: 480 });
    assert.deepEqual(shape([{ width: 1920, height: 1080 }]), { width: 672, height: 384 });
  });
});
