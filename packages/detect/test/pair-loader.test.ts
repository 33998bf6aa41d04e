import assert from 'node:assert/strict';
import { copyFileSync, existsSync, readdirSync, statSync, utimesSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { before, describe, it } from 'node:test';
import { type NativeImage, native } from '@mezzo/libtorch';
import sharp from 'sharp';
import { AUGMENTATION_DEFAULTS, type Augmentation } from '../src/augment/augmentation.ts';
import { drawPair, PAIR_AUGMENTATION_DEFAULTS, type PairAugmentation } from '../src/augment/pair-draw.ts';
import { CounterRandom } from '../src/augment/random.ts';
import { readDataYaml } from '../src/data/data-yaml.ts';
import { decodeImage } from '../src/data/decode.ts';
import { DecodedImages } from '../src/data/decoded-images.ts';
import { plainMemory } from '../src/data/image-memory.ts';
import { ImageStore } from '../src/data/image-store.ts';
import { decodeInfrared } from '../src/data/pairs/decode-infrared.ts';
import { modalityOf, type Pair, type PairSplit, scanPairs } from '../src/data/pairs/scan-pairs.ts';
import { TrainLoader, type TrainLoaderOptions } from '../src/data/train-loader.ts';
import { ValLoader } from '../src/data/val-loader.ts';
import { generateNight } from '../src/datasets/night.ts';
import { scratchFolder } from './scratch.ts';
import { tiffFile } from './tiff-file.ts';

const root = scratchFolder();
const SIDE = 64;
const STILL: Augmentation = {
  ...AUGMENTATION_DEFAULTS,
  hsv_h: 0,
  hsv_s: 0,
  hsv_v: 0,
  translate: 0,
  scale: 0,
  fliplr: 0,
  mosaic: 0,
};
const NOTHING: PairAugmentation = { gain: 0, offset: 0, noise: 0, dropout: 0 };
const pixels = native() as unknown as NativeImage;
let images: Pair[] = [];

before(async () => {
  const { yaml } = await generateNight({
    out: path.join(root, 'set'),
    train: 6,
    val: 1,
    imgsz: SIDE,
    seed: 1,
  });
  images = (await scanPairs(await readDataYaml(yaml), 'train', { cache: false })).images;
});

/** The first epoch's pictures: their planes, channel by channel, in the order of the images. */
async function pictures(
  options: Partial<TrainLoaderOptions<ReturnType<ReturnType<typeof plainMemory>>>> = {},
): Promise<{ planes: Uint8Array[]; image: Pair; targets: Float32Array }[]> {
  const { channels = 6, images: shown = images } = options;
  const loader = new TrainLoader({
    images,
    imgsz: SIDE,
    batch: 1,
    channels,
    augment: STILL,
    pair: NOTHING,
    seed: 3,
    workers: 2,
    allocate: plainMemory(),
    pixels,
    ...options,
  });
  const found = [];
  for await (const { memory, paths, targets } of loader.epoch(0)) {
    const planes = Array.from({ length: channels }, (_, channel) =>
      Uint8Array.from({ length: SIDE * SIDE }, (_, at) => memory.bytes[at * channels + channel]!),
    );
    found.push({ planes, image: shown.find((image) => image.path === paths[0]) as Pair, targets });
    memory.release();
  }
  return found.sort((a, b) => a.image.path.localeCompare(b.image.path));
}

async function planesOf(file: string): Promise<Uint8Array[]> {
  const { data } = await sharp(file).toColourspace('srgb').raw().toBuffer({ resolveWithObject: true });
  return [0, 1, 2].map((channel) =>
    Uint8Array.from({ length: SIDE * SIDE }, (_, at) => data[3 * at + channel]!),
  );
}

function meanOf(plane: Uint8Array): number {
  return plane.reduce((sum, level) => sum + level, 0) / plane.length;
}

describe('a pair in the training loader', () => {
  it('is one picture of 6 or 4 channels: RGB, then infrared', async () => {
    for (const channels of [6, 4]) {
      for (const { planes, image } of await pictures({ channels })) {
        const expected = [...(await planesOf(image.path)), ...(await planesOf(image.infrared))];
        assert.deepEqual(planes, expected.slice(0, channels));
      }
    }
  });

  it('is warped as one, with the labels of the visible picture', async () => {
    const augment = { ...STILL, mosaic: 1, fliplr: 0.5, degrees: 20, translate: 0.1, scale: 0.5, mixup: 0.5 };
    // Where both pictures of a pair are the same file, they must stay the same.
    const twice = images.map((image) => ({ ...image, path: image.infrared }));
    const options = { augment, images: twice };
    const loader = (some: Partial<Parameters<typeof pictures>[0]>) => pictures({ ...options, ...some });
    for (const { planes } of await loader({})) assert.deepEqual(planes.slice(3), planes.slice(0, 3));
    const alone = await pictures({
      augment,
      pair: null,
      channels: 3,
      images: images.map(({ infrared: _, ...rest }) => rest),
    });
    const both = await pictures({ augment });
    for (const [i, { planes, targets }] of both.entries()) {
      assert.deepEqual(planes.slice(0, 3), alone[i]!.planes);
      assert.deepEqual(targets, alone[i]!.targets);
    }
  });

  it('has colour changed in the visible part only, level and noise in the infrared part only', async () => {
    const still = await pictures();
    const colour = await pictures({ augment: { ...STILL, hsv_h: 0.5, hsv_s: 0.7, hsv_v: 0.6, bgr: 1 } });
    const thermal = await pictures({ pair: { gain: 0.5, offset: 0.3, noise: 0.05, dropout: 0 } });
    for (const [i, { planes }] of still.entries()) {
      assert.deepEqual(colour[i]!.planes.slice(3), planes.slice(3));
      assert.notDeepEqual(colour[i]!.planes[0], planes[0]);
      assert.deepEqual(thermal[i]!.planes.slice(0, 3), planes.slice(0, 3));
      assert.notDeepEqual(thermal[i]!.planes[3], planes[3]);
      // Noise is that of the sensor: the same in all three.
      assert.deepEqual(thermal[i]!.planes[4], thermal[i]!.planes[3]);
    }
    const swapped = await pictures({ augment: { ...STILL, bgr: 1 } });
    for (const [i, { planes }] of still.entries()) {
      const [r, g, b, ...infrared] = planes;
      assert.deepEqual(swapped[i]!.planes, [b, g, r, ...infrared]);
    }
  });

  it('changes infrared by gain and offset about its middle, with noise of the drawn width', async () => {
    const still = await pictures();
    const seed = 3;
    const levels: PairAugmentation = { gain: 0.3, offset: 0.2, noise: 0, dropout: 0 };
    const changed = await pictures({ pair: levels });
    const noisy = await pictures({ pair: { ...NOTHING, noise: 0.04 } });
    for (const [i, { planes, image }] of still.entries()) {
      const stream = () => new CounterRandom(seed, 'infrared', 0, images.indexOf(image));
      const { gain, offset } = drawPair(levels, stream());
      const expected = planes[3]!.map((level) =>
        Math.min(255, Math.max(0, Math.trunc((level - 128) * gain + 128 + offset))),
      );
      assert.deepEqual(changed[i]!.planes[3], expected);
      const { noise } = drawPair({ ...NOTHING, noise: 0.04 }, stream());
      const inside = Array.from(planes[3]!.keys()).filter(
        (at) => planes[3]![at]! > 40 && planes[3]![at]! < 215,
      );
      const differences = inside.map((at) => noisy[i]!.planes[3]![at]! - planes[3]![at]!);
      const mean = differences.reduce((sum, d) => sum + d, 0) / differences.length;
      const deviation = Math.sqrt(
        differences.reduce((sum, d) => sum + (d - mean) ** 2, 0) / differences.length,
      );
      assert.ok(Math.abs(mean) < 0.6, `mean ${mean}`);
      assert.ok(Math.abs(deviation - noise) < 0.1 * noise + 0.35, `${deviation} for ${noise}`);
    }
  });

  it('loses a sensor as often as asked, all of it, border and all', async () => {
    const draws = Array.from({ length: 4000 }, (_, sample) =>
      drawPair({ ...PAIR_AUGMENTATION_DEFAULTS, dropout: 0.3 }, new CounterRandom(0, 'infrared', 0, sample)),
    );
    for (const modality of ['visible', 'infrared'] as const) {
      const share = draws.filter(({ dropped }) => dropped === modality).length / draws.length;
      assert.ok(Math.abs(share - 0.15) < 0.02, `${modality} ${share}`);
    }
    const dropped = await pictures({
      pair: { ...NOTHING, dropout: 1, offset: 0.4, noise: 0.1 },
      augment: { ...STILL, translate: 0.4 },
    });
    const missing = dropped.map(({ planes }) => planes.map((plane) => plane.every((level) => level === 0)));
    for (const each of missing) {
      assert.ok(
        [
          [true, true, true, false, false, false],
          [false, false, false, true, true, true],
        ].some((w) => w.join() === each.join()),
      );
    }
    assert.ok(new Set(missing.map(String)).size === 2);
  });

  it('is the same whatever the number of workers', async () => {
    const options = {
      augment: { ...AUGMENTATION_DEFAULTS },
      pair: { ...PAIR_AUGMENTATION_DEFAULTS, dropout: 0.3 },
    };
    const [one, many] = [
      await pictures({ ...options, workers: 0 }),
      await pictures({ ...options, workers: 8 }),
    ];
    assert.deepEqual(many, one);
  });
});

describe('a pair in the validation loader', () => {
  it('is letterboxed as one', async () => {
    const loader = new ValLoader({
      images,
      imgsz: 96,
      batch: 6,
      channels: 6,
      rect: false,
      workers: 2,
      allocate: plainMemory(),
      pixels,
    });
    for await (const { memory, shape, images: placed } of loader.run()) {
      assert.deepEqual(shape, [6, 96, 96, 6]);
      assert.equal(placed.length, 6);
      assert.deepEqual(Array.from(memory.bytes.subarray(0, 6)).length, 6);
      for (const [i, image] of images.entries()) {
        const [red, , , infrared] = [0, 1, 2, 3].map((channel) =>
          Uint8Array.from({ length: 96 * 96 }, (_, at) => memory.bytes[(i * 96 * 96 + at) * 6 + channel]!),
        ) as [Uint8Array, Uint8Array, Uint8Array, Uint8Array];
        assert.ok(Math.abs(meanOf(red) - meanOf((await planesOf(image.path))[0]!)) < 3);
        assert.ok(Math.abs(meanOf(infrared) - meanOf((await planesOf(image.infrared))[0]!)) < 3);
      }
      memory.release();
    }
  });

  it('can be measured without a sensor: its channels are zeros, the border too', async () => {
    for (const [missing, silent] of [
      ['visible', [0, 1, 2]],
      ['infrared', [3]],
    ] as const) {
      const loader = new ValLoader({
        ...{ images, imgsz: 96, batch: 6, channels: 4, rect: false, workers: 2, missing },
        ...{ allocate: plainMemory(), pixels },
      });
      for await (const { memory, shape } of loader.run()) {
        assert.deepEqual(shape, [6, 96, 96, 4]);
        const dark = [0, 1, 2, 3].filter((channel) =>
          memory.bytes.every((level, at) => at % 4 !== channel || level === 0),
        );
        assert.deepEqual(dark, silent);
        memory.release();
      }
    }
  });
});

describe('pairs kept on disk', () => {
  it('are read back, both pictures, until the content of one changes', async () => {
    const folder = path.join(root, 'store');
    const copy = { ...images[0]!, infrared: path.join(root, 'infrared.jpg') };
    copyFileSync(images[0]!.infrared, copy.infrared);
    const problems: string[] = [];
    const cacheDisk = () =>
      new ImageStore({ imgsz: SIDE, channels: 6, folder, onProblem: (reason) => problems.push(reason) });
    const load = async () => (await pictures({ images: [copy], cacheDisk: cacheDisk() }))[0]!.planes;
    const first = await load();
    const files = () =>
      readdirSync(folder, { recursive: true, withFileTypes: true }).filter((entry) => entry.isFile());
    assert.equal(files().length, 2);
    const { needed } = await cacheDisk().room([copy]);
    assert.equal(needed, 0);
    assert.deepEqual(await load(), first);
    // Touched only: still the same.
    utimesSync(copy.infrared, 1, 1);
    assert.deepEqual(await load(), first);
    copyFileSync(images[1]!.infrared, copy.infrared);
    const second = await load();
    assert.deepEqual(second.slice(0, 3), first.slice(0, 3));
    assert.deepEqual(second.slice(3), await planesOf(copy.infrared));
    assert.deepEqual(problems, []);
    assert.ok(existsSync(folder) && statSync(folder).isDirectory());
  });

  it('of 16 bits are kept apart from the same file read as visible light', async () => {
    const file = path.join(root, 'deep.png');
    await sharp(narrowRange(), { raw: { width: SIDE, height: SIDE, channels: 1 } })
      .toColourspace('grey16')
      .png()
      .toFile(file);
    const folder = path.join(root, 'deep-store');
    const read = async (thermal: boolean) => {
      const store = new ImageStore({ imgsz: 0, channels: 3, folder, onProblem: assert.fail });
      const split = [{ path: file, width: SIDE, height: SIDE, labels: images[0]!.labels, thermal }];
      const { needed } = await store.room(split);
      const decoded = new DecodedImages({
        ...{ images: split, pixels, channels: 3, imgsz: 0, keepAll: false, strict: true, store },
      });
      return { needed, pixels: [...(await decoded.get(0, 0))!.pixels] };
    };
    const plain = [...(await decodeImage(file)).pixels];
    const stretched = [...(await decodeInfrared(file)).pixels];
    assert.notDeepEqual(plain, stretched);
    const bytes = (await read(false)).needed;
    assert.ok(bytes > 0);
    assert.deepEqual(await read(false), { needed: 0, pixels: plain });
    assert.deepEqual(await read(true), { needed: bytes, pixels: stretched });
    assert.deepEqual(await read(true), { needed: 0, pixels: stretched });
    assert.deepEqual(await read(false), { needed: 0, pixels: plain });
  });
});

/** Temperatures from 7000 to 7630, rising from left to right. */
const narrowRange = () => Uint16Array.from({ length: SIDE * SIDE }, (_, i) => 7000 + (i % SIDE) * 10);

describe('decodeInfrared', () => {
  it('reads the infrared pictures of pairs alone as those of pairs', async () => {
    const file = path.join(root, 'alone.png');
    const samples = narrowRange();
    await sharp(samples, { raw: { width: SIDE, height: SIDE, channels: 1 } })
      .toColourspace('grey16')
      .png()
      .toFile(file);
    const pairs = { images: [{ ...images[0]!, infrared: file }] } as unknown as PairSplit;
    const decoded = new DecodedImages({
      ...{ images: modalityOf(pairs, 'infrared').images, pixels, channels: 3, imgsz: 0 },
      ...{ keepAll: false, strict: true },
    });
    assert.deepEqual(await decoded.get(0, 0), await decodeInfrared(file));
  });

  it('stretches the used part of 16-bit samples, and takes 1 and 3 channels of 8 bits as they are', async () => {
    const samples = narrowRange();
    const png = await sharp(samples, { raw: { width: SIDE, height: SIDE, channels: 1 } })
      .toColourspace('grey16')
      .png()
      .toBuffer();
    const page = { width: SIDE, height: SIDE, channels: 1, samples: Array.from(samples) };
    for (const content of [png, tiffFile([page], { bits: 16 })]) {
      const { pixels: levels, width, height } = await decodeInfrared(content);
      assert.deepEqual([width, height, levels.length], [SIDE, SIDE, SIDE * SIDE * 3]);
      for (let x = 0; x < SIDE; x++) {
        const expected = Math.round((255 * x) / (SIDE - 1));
        assert.deepEqual(Array.from(levels.subarray(3 * x, 3 * x + 3)), [expected, expected, expected]);
      }
    }
    const grey = Uint8Array.from((await decodeInfrared(images[0]!.infrared)).pixels);
    const [plane] = await planesOf(images[0]!.infrared);
    assert.deepEqual(
      grey.filter((_, i) => i % 3 === 0),
      plane,
    );
    assert.deepEqual((await decodeInfrared(images[0]!.path)).pixels.length, SIDE * SIDE * 3);
    writeFileSync(path.join(root, 'bad.png'), 'x');
    await assert.rejects(decodeInfrared(path.join(root, 'bad.png')));
  });
});
