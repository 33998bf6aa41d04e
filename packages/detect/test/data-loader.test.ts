import assert from 'node:assert/strict';
import { createHash } from 'node:crypto';
import { copyFileSync, mkdirSync, renameSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { describe, it } from 'node:test';
import { native } from '@mezzo/libtorch';
import sharp from 'sharp';
import { AUGMENTATION_DEFAULTS } from '../src/augment/augmentation.ts';
import { readDataYaml } from '../src/data/data-yaml.ts';
import { decodeImage } from '../src/data/decode.ts';
import { DataError } from '../src/data/errors.ts';
import { type ImageMemory, plainMemory } from '../src/data/image-memory.ts';
import type { Fault } from '../src/data/inspect-image.ts';
import { type LabelledImage, scanSplit } from '../src/data/scan.ts';
import { type TrainBatch, TrainLoader, type TrainLoaderOptions } from '../src/data/train-loader.ts';
import { ValLoader } from '../src/data/val-loader.ts';
import { generateShapes } from '../src/datasets/shapes.ts';
import { scratchFolder } from './scratch.ts';

const root = scratchFolder();
const { yaml } = await generateShapes({
  out: path.join(root, 'shapes'),
  train: 22,
  val: 9,
  imgsz: 64,
  seed: 1,
});
const data = await readDataYaml(yaml);
const { images } = await scanSplit(data, 'train', { cache: false });
const pixels = native();

function trainLoader(changes: Partial<TrainLoaderOptions<ImageMemory>> = {}): TrainLoader<ImageMemory> {
  return new TrainLoader({
    images,
    imgsz: 64,
    batch: 4,
    channels: 3,
    augment: AUGMENTATION_DEFAULTS,
    seed: 0,
    workers: 2,
    allocate: plainMemory(),
    pixels,
    ...changes,
  });
}

/** Everything about a batch, as one line. */
function digest({ memory, shape, targets, paths, index }: TrainBatch<ImageMemory>): string {
  const hash = createHash('sha256').update(memory.bytes).update(new Uint8Array(targets.buffer));
  return [index, shape, paths.map((file) => path.basename(file)), hash.digest('hex')].join(' ');
}

async function digests(batches: AsyncGenerator<TrainBatch<ImageMemory>>): Promise<string[]> {
  const lines: string[] = [];
  for await (const batch of batches) {
    lines.push(digest(batch));
    batch.memory.release();
  }
  return lines;
}

/** An allocator that knows how many of its blocks are in use. */
function countedMemory() {
  const inner = plainMemory();
  const counter = { inUse: 0, most: 0 };
  const allocate = (size: number): ImageMemory => {
    const memory = inner(size);
    counter.most = Math.max(counter.most, ++counter.inUse);
    return {
      bytes: memory.bytes,
      release: () => {
        counter.inUse--;
        memory.release();
      },
    };
  };
  return { allocate, counter };
}

describe('TrainLoader', () => {
  it('visits every image once an epoch, in an order of its own; the last batch is smaller', async () => {
    const loader = trainLoader();
    assert.equal(loader.batches, 6);
    const orders: string[][] = [];
    for (const epoch of [0, 1]) {
      const paths: string[] = [];
      const sizes: number[] = [];
      for await (const batch of loader.epoch(epoch)) {
        paths.push(...batch.paths);
        sizes.push(batch.shape[0]);
        assert.equal(batch.memory.bytes.length, batch.shape[0] * 64 * 64 * 3);
        assert.deepEqual(batch.shape.slice(1), [64, 64, 3]);
        for (let i = 0; i < batch.targets.length; i += 6) {
          const [picture, cls, cx, cy, w, h] = batch.targets.subarray(i, i + 6) as unknown as number[];
          assert.ok(Number.isInteger(picture) && picture! < batch.shape[0]);
          assert.ok([0, 1, 2].includes(cls!));
          assert.ok(
            cx! - w! / 2 >= -1e-6 &&
              cx! + w! / 2 <= 1 + 1e-6 &&
              cy! - h! / 2 >= -1e-6 &&
              cy! + h! / 2 <= 1 + 1e-6,
          );
        }
        batch.memory.release();
      }
      assert.deepEqual(sizes, [4, 4, 4, 4, 4, 2]);
      assert.deepEqual(
        [...paths].sort(),
        images.map((image) => image.path),
      );
      orders.push(paths);
    }
    assert.notDeepEqual(orders[0], orders[1]);
  });

  it('gives the same batches for every number of workers, and others for another seed', async () => {
    const base = await digests(trainLoader({ workers: 2 }).epoch(3));
    for (const workers of [0, 1, 8]) assert.deepEqual(await digests(trainLoader({ workers }).epoch(3)), base);
    assert.notDeepEqual(await digests(trainLoader({ seed: 1 }).epoch(3)), base);
  });

  it('continues a run bit for bit from any batch, with or without what was decoded before', async () => {
    const running = trainLoader();
    const whole = [
      await digests(running.epoch(0)),
      await digests(running.epoch(1)),
      await digests(running.epoch(2)),
    ];
    for (const [epoch, from] of [
      [0, 3],
      [1, 0],
      [2, 5],
      [2, 6],
    ] as const) {
      assert.deepEqual(await digests(trainLoader().epoch(epoch, { from })), whole[epoch]!.slice(from));
    }
  });

  it('closes the mosaic', async () => {
    const closed = await digests(trainLoader().epoch(1, { mosaic: false }));
    const none = trainLoader({ augment: { ...AUGMENTATION_DEFAULTS, mosaic: 0 } });
    assert.deepEqual(closed, await digests(none.epoch(1)));
    assert.notDeepEqual(closed, await digests(trainLoader().epoch(1)));
  });

  it('keeps images in memory on request', async () => {
    const folder = path.join(root, 'moved');
    mkdirSync(folder);
    const copies = images.slice(0, 6).map((image) => {
      const file = path.join(folder, path.basename(image.path));
      copyFileSync(image.path, file);
      return { ...image, path: file };
    });
    const loader = trainLoader({ images: copies, cacheRam: true, partners: 'all', strict: true });
    await digests(loader.epoch(0));
    for (const { path: file } of copies) renameSync(file, `${file}.gone`);
    assert.equal((await digests(loader.epoch(1))).length, 2);
  });

  it('joins images of the whole set on request, decoded or not', async () => {
    const kept = await digests(trainLoader({ cacheRam: true, partners: 'all' }).epoch(0));
    assert.deepEqual(await digests(trainLoader({ partners: 'all' }).epoch(0)), kept);
    assert.notDeepEqual(await digests(trainLoader().epoch(0)), kept);
  });

  it('gives every batch its own size on request, wherever the epoch begins', async () => {
    const sides = async (from: number) => {
      const found: number[] = [];
      for await (const { input, shape, memory } of trainLoader({ multiScale: 0.5 }).epoch(1, { from })) {
        assert.deepEqual(shape.slice(1), [64, 64, 3]);
        assert.equal(input.width, input.height);
        found.push(input.width);
        memory.release();
      }
      return found;
    };
    const whole = await sides(0);
    assert.ok(new Set(whole).size > 1 && whole.every((side) => [32, 64, 96].includes(side)), String(whole));
    assert.deepEqual(await sides(4), whole.slice(4));
  });

  it('holds a bounded number of batches, and gives them back when the consumer stops', async () => {
    const { allocate, counter } = countedMemory();
    const loader = trainLoader({ allocate });
    for await (const batch of loader.epoch(0)) {
      batch.memory.release();
      if (batch.index === 2) break;
    }
    assert.equal(counter.inUse, 0);
    assert.equal(counter.most, 3);
  });

  it('stops when it is aborted', async () => {
    const { allocate, counter } = countedMemory();
    const controller = new AbortController();
    const reason = new Error('enough');
    const seen: number[] = [];
    const consume = async () => {
      for await (const batch of trainLoader({ allocate }).epoch(0, { signal: controller.signal })) {
        seen.push(batch.index);
        batch.memory.release();
        if (batch.index === 1) controller.abort(reason);
      }
    };
    await assert.rejects(consume(), reason);
    assert.deepEqual(seen, [0, 1]);
    assert.equal(counter.inUse, 0);
  });

  it('makes one-channel pictures', async () => {
    for await (const batch of trainLoader({ channels: 1 }).epoch(0)) {
      assert.deepEqual(batch.shape, [batch.shape[0], 64, 64, 1]);
      assert.equal(batch.memory.bytes.length, batch.shape[0] * 64 * 64);
      batch.memory.release();
    }
  });

  describe('an image that does not decode', () => {
    const file = path.join(root, 'broken.jpg');
    writeFileSync(file, 'no picture');
    const broken: LabelledImage = {
      path: file,
      width: 64,
      height: 64,
      labels: Float32Array.of(0, 0.5, 0.5, 1, 1),
    };
    const some = [broken, ...images.slice(0, 7)];
    it('leaves its picture grey and is reported once', async () => {
      const faults: Fault[] = [];
      const loader = trainLoader({ images: some, onSkip: (fault) => faults.push(fault) });
      for (const epoch of [0, 1]) {
        for await (const batch of loader.epoch(epoch, { mosaic: false })) {
          const picture = batch.paths.indexOf(file);
          if (picture >= 0) {
            const bytes = batch.memory.bytes.subarray(picture * 64 * 64 * 3, (picture + 1) * 64 * 64 * 3);
            assert.equal(new Set(bytes).size, 1);
            assert.ok(batch.targets.every((value, i) => i % 6 !== 0 || value !== picture));
          }
          batch.memory.release();
        }
      }
      assert.deepEqual(faults, [{ file, reason: 'not an image that can be decoded' }]);
    });
    it('is an error with strict, and no memory is lost', async () => {
      const { allocate, counter } = countedMemory();
      const loader = trainLoader({ images: some, strict: true, allocate });
      await assert.rejects(digests(loader.epoch(0)), (error) => {
        assert.ok(error instanceof DataError);
        assert.equal(error.message, `${file}: not an image that can be decoded`);
        assert.equal(error.hint, 'repair or remove the image');
        return true;
      });
      assert.equal(counter.inUse, 0);
    });
  });
});

describe('ValLoader', () => {
  const sides = [
    [64, 48],
    [48, 64],
    [64, 32],
    [30, 60],
    [100, 100],
    [120, 90],
  ] as const;
  const options = { imgsz: 64, batch: 2, channels: 3, workers: 2, allocate: plainMemory(), pixels } as const;

  async function odd(): Promise<LabelledImage[]> {
    return Promise.all(
      sides.map(async ([width, height], i) => {
        const file = path.join(root, `odd${i}.png`);
        const noise = Uint8Array.from({ length: width * height * 3 }, (_, k) => (k * 89) % 256);
        await sharp(noise, { raw: { width, height, channels: 3 } })
          .png()
          .toFile(file);
        return { path: file, width, height, labels: Float32Array.of(1, 0.5, 0.5, 0.5, 0.25) };
      }),
    );
  }

  it('letterboxes to squares in the given order', async () => {
    const set = await odd();
    const seen: string[] = [];
    for await (const { shape, images: placed, memory, targets } of new ValLoader({
      ...options,
      images: set,
      rect: false,
    }).run()) {
      assert.deepEqual(shape, [2, 64, 64, 3]);
      assert.equal(targets.length, 12);
      seen.push(...placed.map((image) => image.path));
      memory.release();
    }
    assert.deepEqual(
      seen,
      set.map((image) => image.path),
    );
  });

  it('groups images of like proportions, and says where each lies', async () => {
    const set = await odd();
    const seen: [string, number[], number[], number[]][] = [];
    for await (const { shape, images: placed, memory, targets } of new ValLoader({
      ...options,
      images: set,
      rect: true,
    }).run()) {
      for (const [i, { path: file, placement, width, height, labels }] of placed.entries()) {
        const { gain, pad } = placement;
        seen.push([path.basename(file), shape.slice(1, 3), gain, pad]);
        const [, , cx, cy, w, h] = targets.subarray(6 * i, 6 * i + 6) as unknown as number[];
        assert.ok(Math.abs((cx! * shape[2] - pad[0]) / gain[0] - labels[1]! * width) < 1e-4);
        assert.ok(Math.abs((cy! * shape[1] - pad[1]) / gain[1] - labels[2]! * height) < 1e-4);
        assert.ok(Math.abs((w! * shape[2]) / gain[0] - labels[3]! * width) < 1e-4);
        assert.ok(Math.abs((h! * shape[1]) / gain[1] - labels[4]! * height) < 1e-4);
        // The picture's middle is the image's own pixels where it was not scaled.
        if (gain[0] === 1 && gain[1] === 1) {
          const source = await decodeImage(file);
          const row = memory.bytes.subarray(((i * shape[1] + pad[1]) * shape[2] + pad[0]) * 3);
          assert.deepEqual(
            new Uint8Array(row.subarray(0, width * 3)),
            new Uint8Array(source.pixels.subarray(0, width * 3)),
          );
        }
      }
      memory.release();
    }
    assert.deepEqual(seen, [
      ['odd2.png', [64, 96], [1, 1], [16, 16]],
      ['odd0.png', [64, 96], [1, 1], [16, 8]],
      ['odd5.png', [96, 96], [64 / 120, 48 / 90], [16, 24]],
      ['odd4.png', [96, 96], [0.64, 0.64], [16, 16]],
      ['odd1.png', [96, 64], [1, 1], [8, 16]],
      ['odd3.png', [96, 64], [32 / 30, 64 / 60], [16, 16]],
    ]);
  });
});
