/** A network of one stream that was trained on the infrared pictures of pairs sees 16-bit pictures as in its training. */
import assert from 'node:assert/strict';
import { cpSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { before, test } from 'node:test';
import sharp from 'sharp';
import { decodeInfrared } from '../src/data/pairs/decode-infrared.ts';
import { generateNight, type Prediction, type ValOptions, YOLO } from '../src/index.ts';
import { train } from './dual-runs.ts';
import { scratchFolder } from './scratch.ts';

process.env.OMP_NUM_THREADS = '1';
const root = scratchFolder();
const night = path.join(root, 'night');
const data = path.join(night, 'data.yaml');
const best = path.join(root, 'ir', 'weights', 'best.safetensors');
const deep = path.join(night, 'imagesIR', 'val', '00000.png');
const RUN = { imgsz: 64, workers: 1, device: 'cpu', project: root } as const;

/** Levels become temperatures in a narrow part of 16 bits. */
async function asTemperatures(folder: string): Promise<void> {
  for (const name of readdirSync(folder)) {
    const file = path.join(folder, name);
    const { data: levels, info } = await sharp(file)
      .extractChannel(0)
      .raw()
      .toBuffer({ resolveWithObject: true });
    const { width, height } = info;
    await sharp(
      Uint16Array.from(levels, (level) => 7000 + 4 * level),
      { raw: { width, height, channels: 1 } },
    )
      .toColourspace('grey16')
      .png()
      .toFile(file.replace('.jpg', '.png'));
    rmSync(file);
  }
}

before(async () => {
  await generateNight({ out: night, train: 4, val: 2, imgsz: 64, seed: 3 });
  for (const split of ['train', 'val']) await asTemperatures(path.join(night, 'imagesIR', split));
  await train({
    ...{ ...RUN, data, name: 'ir', modality: 'infrared', cache: 'disk' },
    ...{ epochs: 1, batch: 2, nbs: 4, amp: 'fp32', plots: false },
  });
});

const rows = (results: readonly Prediction[]): unknown[] =>
  results.map(({ boxes }) => [boxes.xyxy, boxes.conf, boxes.cls]);

test('predict stretches files and bytes, not pixels, and draws what the network saw', async () => {
  const model = await YOLO.load(best);
  const options = { imgsz: 64, conf: 1e-6, max_det: 5 };
  const { pixels, ...size } = await decodeInfrared(deep);
  const wanted = rows(await model.predict({ data: pixels, ...size, channels: 3 }, options));
  const found = await model.predict(deep, options);
  assert.deepEqual(rows(found), wanted);
  assert.deepEqual(rows(await model.predict(readFileSync(deep), options)), wanted);
  const { data: flat, info } = await sharp(deep)
    .toColourspace('srgb')
    .raw()
    .toBuffer({ resolveWithObject: true });
  const { width, height } = info;
  assert.notDeepEqual(rows(await model.predict({ data: flat, width, height, channels: 3 }, options)), wanted);
  const drawn = path.join(root, 'drawn.png');
  await found[0]!.save(drawn, { boxes: false });
  const { data: seen } = await sharp(drawn).raw().toBuffer({ resolveWithObject: true });
  assert.deepEqual(new Uint8Array(seen), pixels);
});

/** Every box of a validation. */
async function boxesOf(options: ValOptions): Promise<unknown> {
  const model = await YOLO.load(best);
  const { saveDir } = await model.val({ ...RUN, save_json: true, plots: false, conf: 1e-4, ...options });
  return JSON.parse(readFileSync(path.join(saveDir!, 'predictions.json'), 'utf8'));
}

test('val measures on the infrared pictures of pairs, and on those of a set that has no others', async () => {
  const wanted = await boxesOf({ modality: 'infrared' });
  assert.deepEqual(await boxesOf({}), wanted);
  assert.deepEqual(await boxesOf({ data }), wanted);
  assert.notDeepEqual(await boxesOf({ modality: 'visible' }), wanted);
  const alone = path.join(root, 'alone');
  cpSync(path.join(night, 'imagesIR'), path.join(alone, 'images'), { recursive: true });
  cpSync(path.join(night, 'labels'), path.join(alone, 'labels'), { recursive: true });
  writeFileSync(path.join(alone, 'data.yaml'), readFileSync(data, 'utf8').replaceAll(/^\w+_ir:.*\n/gm, ''));
  assert.deepEqual(await boxesOf({ data: path.join(alone, 'data.yaml') }), wanted);
});
