import assert from 'node:assert/strict';
import path from 'node:path';
import { describe, it } from 'node:test';
import { native } from '@mezzo/libtorch';
import sharp from 'sharp';
import { letterbox } from '../src/augment/geometry.ts';
import { letterboxJob } from '../src/augment/warp-job.ts';
import { networkChannels } from '../src/data/channels.ts';
import { readDataYaml } from '../src/data/data-yaml.ts';
import { groupChannels } from '../src/data/decode.ts';
import { DataError } from '../src/data/errors.ts';
import { scanSplit } from '../src/data/scan.ts';
import { sampleImages } from '../src/export/sample-images.ts';
import {
  AUGMENTATION_DEFAULTS,
  buildModel,
  plainMemory,
  TrainLoader,
  ValLoader,
  YOLO,
} from '../src/index.ts';
import { scratchFolder, write } from './scratch.ts';
import { steppedPage, tiffFile } from './tiff-file.ts';

const folder = scratchFolder();
const at = (name: string) => path.join(folder, name);
const pixels = Buffer.from(Array.from({ length: 64 * 48 * 3 }, (_, i) => (i * 37 + (i >> 5)) % 251));
const COLOUR = await sharp(pixels, { raw: { width: 64, height: 48, channels: 3 } })
  .png()
  .toBuffer();
// OpenCV's luma in 14 bits.
const luma = Buffer.from(
  Array.from(
    { length: 64 * 48 },
    (_, i) => (pixels[3 * i]! * 4899 + pixels[3 * i + 1]! * 9617 + pixels[3 * i + 2]! * 1868 + 8192) >> 14,
  ),
);
const GREY = await sharp(luma, { raw: { width: 64, height: 48, channels: 1 } })
  .png()
  .toBuffer();

/** A network of one layer and a head: what it sees is what matters. */
const table = (ch: number) =>
  JSON.stringify({
    nc: 1,
    ch,
    backbone: [[-1, 1, 'Conv', [8, 3, 2]]],
    head: [[[0], 1, 'Detect', ['nc']]],
  });

describe('the channels of a network', () => {
  const about = (channels: number | null) => ({ file: 'a.yaml', channels });
  it('are those of the data, or its own where colour and grey can be turned into each other', () => {
    assert.equal(networkChannels(null, about(null)), 3);
    assert.equal(networkChannels(null, about(10)), 10);
    assert.equal(networkChannels(1, about(null)), 1);
    assert.equal(networkChannels(1, about(3)), 1);
    assert.equal(networkChannels(3, about(1)), 3);
    assert.equal(networkChannels(10, about(10)), 10);
  });

  it('must otherwise agree: the error names both', () => {
    for (const [own, given, message, hint] of [
      [
        4,
        null,
        'the model takes 4 channels, a.yaml has 3',
        "if its images have 4 channels, write 'channels: 4' into the yaml",
      ],
      [
        1,
        10,
        'the model takes 1 channel, a.yaml has 10',
        'take a model of that many channels; one that is named (model=yolov8n) is built for the data',
      ],
    ] as const) {
      assert.throws(
        () => networkChannels(own, about(given)),
        (error) => {
          assert.ok(error instanceof DataError);
          assert.deepEqual([error.message, error.hint], [message, hint]);
          return true;
        },
      );
    }
  });
});

describe('a network of one channel sees colour as grey', () => {
  write(folder, 'images/colour.png', COLOUR);
  write(folder, 'labels/colour.txt', '0 0.5 0.5 0.5 0.5\n');
  const yaml = write(folder, 'data.yaml', 'train: images\nval: images\nnames: [thing]\n');
  const grey = write(folder, 'grey.png', GREY);
  const model = write(folder, 'one.yaml', table(1));

  it('in training and validation', async () => {
    const { images } = await scanSplit(await readDataYaml(yaml), 'val', { cache: false });
    const still = Object.fromEntries(Object.keys(AUGMENTATION_DEFAULTS).map((key) => [key, 0]));
    const common = { images, imgsz: 64, batch: 1, channels: 1, workers: 0, allocate: plainMemory() };
    const loaders = {
      val: new ValLoader({ ...common, rect: true, pad: 0, pixels: native() }).run(),
      train: new TrainLoader({
        ...common,
        augment: { ...AUGMENTATION_DEFAULTS, ...still },
        seed: 0,
        pixels: native(),
      }).epoch(0),
    };
    for (const [name, batches] of Object.entries(loaders)) {
      for await (const { memory, shape } of batches) {
        assert.equal(shape[3], 1, name);
        // The square of training has a border of eight lines.
        const top = (shape[1] - 48) / 2;
        const seen = memory.bytes.subarray(top * 64, (top + 48) * 64);
        assert.deepEqual(Buffer.from(seen), luma, name);
      }
    }
  });

  it('in prediction', async () => {
    const detector = await YOLO.load(model);
    const options = { imgsz: 64, conf: 1e-6, device: 'cpu' } as const;
    const [seen] = await detector.predict(at('images/colour.png'), options);
    const [expected] = await detector.predict(grey, options);
    assert.ok(expected!.boxes.conf.length > 0);
    assert.deepEqual(seen!.boxes.conf, expected!.boxes.conf);
    assert.deepEqual(seen!.boxes.xyxy, expected!.boxes.xyxy);
  });

  it('in the sample run of an export', async () => {
    const network = buildModel(JSON.parse(table(1)));
    const [seen] = await sampleImages(network, 64, at('images/colour.png'));
    const [expected] = await sampleImages(network, 64, grey);
    assert.deepEqual(seen!.shape, [1, 1, 64, 64]);
    assert.deepEqual(seen!.toTypedArray(), expected!.toTypedArray());
  });
});

describe('networks of other numbers of channels', () => {
  it('letterbox each channel as if it were alone', async () => {
    const { width, height } = { width: 50, height: 30 };
    const data = Uint8Array.from({ length: width * height * 5 }, (_, i) => (i * 31) % 253);
    const canvas = { width: 40, height: 40 };
    const place = letterbox({ width, height }, canvas);
    const out = new Uint8Array(40 * 40 * 5);
    const { pixels: grouped } = groupChannels({ data, width, height, channels: 5 });
    await native().imageLetterbox(out, letterboxJob({ width, height }, place, canvas, 5), grouped);
    for (let channel = 0; channel < 5; channel++) {
      const repeated = Uint8Array.from(
        { length: width * height * 3 },
        (_, i) => data[Math.floor(i / 3) * 5 + channel]!,
      );
      const alone = new Uint8Array(40 * 40 * 3);
      await native().imageLetterbox(alone, letterboxJob({ width, height }, place, canvas, 3), repeated);
      for (let i = 0; i < 40 * 40; i++) assert.equal(out[i * 5 + channel], alone[i * 3], `${channel} ${i}`);
    }
  });

  it('get mosaics and blends whose channels are those of colour pictures, three by three', async () => {
    const size = { width: 40, height: 30 };
    const value = (pixel: number, channel: number, image: number) =>
      (pixel * (7 + channel) + 31 * image) % 240;
    const batch = async (channels: number, first: number) => {
      const images = Array.from({ length: 4 }, (_, image) => {
        const samples = Array.from({ length: 1200 * channels }, (_, i) =>
          first + (i % channels) < 5 ? value(Math.floor(i / channels), first + (i % channels), image) : 0,
        );
        const content = tiffFile([{ ...size, channels, samples }]);
        const file = write(folder, `warp/${channels}-${first}-${image}.tif`, content);
        return { path: file, ...size, labels: new Float32Array(0) };
      });
      const augment = {
        ...AUGMENTATION_DEFAULTS,
        hsv_h: 0,
        hsv_s: 0,
        hsv_v: 0,
        degrees: 20,
        mixup: 1,
        cutmix: 1,
      };
      const options = { images, imgsz: 48, batch: 4, channels, augment, seed: 3, workers: 0 };
      const loader = new TrainLoader({ ...options, allocate: plainMemory(), pixels: native() });
      for await (const { memory } of loader.epoch(0)) return memory.bytes;
      throw new Error('no batch');
    };
    const [five, low, high] = [await batch(5, 0), await batch(3, 0), await batch(3, 3)];
    for (let pixel = 0; pixel < 4 * 48 * 48; pixel++) {
      const expected = [
        ...low.subarray(3 * pixel, 3 * pixel + 3),
        ...high.subarray(3 * pixel, 3 * pixel + 2),
      ];
      assert.deepEqual(Array.from(five.subarray(5 * pixel, 5 * pixel + 5)), expected, `pixel ${pixel}`);
    }
  });

  it('train, validate and predict on stacks of that many', async () => {
    for (const [split, count] of [
      ['train', 4],
      ['val', 2],
    ] as const) {
      for (let i = 0; i < count; i++) {
        const page = steppedPage(5, { width: 64, height: 64, step: 10 + i });
        write(folder, `five/images/${split}/${i}.tif`, tiffFile([page], { planar: i % 2 === 0 }));
        write(folder, `five/labels/${split}/${i}.txt`, '0 0.25 0.25 0.5 0.5\n');
      }
    }
    const text = 'train: images/train\nval: images/val\nchannels: 5\nnames: [thing]\n';
    const data = write(folder, 'five/data.yaml', text);
    const detector = await YOLO.load(write(folder, 'five.yaml', table(5)));
    const report = await detector.train({
      ...{ data, imgsz: 64, epochs: 1, batch: 2, workers: 0, device: 'cpu', amp: false, plots: false },
      ...{ mosaic: 1, mixup: 1, project: at('runs'), name: 'five' },
    });
    assert.ok(Number.isFinite(report.box.map));
    const [result] = await detector.predict(at('five/images/val/0.tif'), { imgsz: 64, device: 'cpu' });
    assert.deepEqual([result!.width, result!.height], [64, 64]);
    // Its picture shows the first three channels.
    assert.deepEqual(Array.from((await result!.plot()).data.subarray(-3)), [10, 20, 30]);
    await assert.rejects(detector.predict(at('images/colour.png'), { imgsz: 64, device: 'cpu' }), {
      code: 'BAD_IMAGE',
      message: `${at('images/colour.png')}: it has 3 channels, the network takes 5`,
    });
  });
});
