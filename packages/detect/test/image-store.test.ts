/** `cache=disk`: what is kept, when it holds, and what happens where it cannot be kept. */
import assert from 'node:assert/strict';
import {
  appendFileSync,
  copyFileSync,
  existsSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  statSync,
  truncateSync,
  utimesSync,
  writeFileSync,
} from 'node:fs';
import path from 'node:path';
import { describe, it } from 'node:test';
import { native } from '@mezzo/libtorch';
import { AUGMENTATION_DEFAULTS } from '../src/augment/augmentation.ts';
import { readDataYaml } from '../src/data/data-yaml.ts';
import { decodeImage } from '../src/data/decode.ts';
import { plainMemory } from '../src/data/image-memory.ts';
import { decodedBytes, ImageStore } from '../src/data/image-store.ts';
import { scanSplit } from '../src/data/scan.ts';
import { TrainLoader } from '../src/data/train-loader.ts';
import { generateShapes } from '../src/datasets/shapes.ts';
import type { TrainEvent } from '../src/engine/event.ts';
import { openImageCache } from '../src/engine/image-cache.ts';
import { scratchFolder } from './scratch.ts';

const root = scratchFolder();
const { yaml } = await generateShapes({
  out: path.join(root, 'shapes'),
  train: 6,
  val: 2,
  imgsz: 96,
  seed: 2,
});
const { images } = await scanSplit(await readDataYaml(yaml), 'train', { cache: false });
let folders = 0;

function store(folder = path.join(root, `store${folders++}`), imgsz = 64) {
  const problems: string[] = [];
  const made = new ImageStore({ imgsz, channels: 3, folder, onProblem: (reason) => problems.push(reason) });
  return { made, folder, problems };
}

/** Every file below a folder. */
const filesIn = (folder: string): string[] =>
  existsSync(folder)
    ? readdirSync(folder, { recursive: true, encoding: 'utf8' })
        .map((name) => path.join(folder, name))
        .filter((file) => statSync(file).isFile())
    : [];

async function epoch(cacheDisk: ImageStore | null): Promise<Buffer[]> {
  const loader = new TrainLoader({
    images,
    imgsz: 64,
    batch: 2,
    channels: 3,
    augment: AUGMENTATION_DEFAULTS,
    seed: 0,
    workers: 2,
    strict: true,
    cacheDisk,
    allocate: plainMemory(),
    pixels: native(),
  });
  const batches: Buffer[] = [];
  for await (const { memory } of loader.epoch(0)) {
    batches.push(Buffer.from(memory.bytes));
    memory.release();
  }
  return batches;
}

describe('ImageStore', () => {
  it('gives the same batches as decoding does, and a second run decodes nothing', async () => {
    const plain = await epoch(null);
    const { made, folder } = store();
    assert.deepEqual(await epoch(made), plain);
    const files = filesIn(folder);
    assert.equal(files.length, images.length);
    const before = files.map((file) => statSync(file, { bigint: true }).mtimeNs);
    // What a second run reads: were it decoded, the level would be another.
    for (const file of files) {
      assert.equal(readFileSync(file).subarray(0, 8).toString(), 'MEZZOIM1');
      assert.equal(statSync(file).size, 72 + 64 * 64 * 3);
    }
    assert.deepEqual(await epoch(store(folder).made), plain);
    assert.deepEqual(
      files.map((file) => statSync(file, { bigint: true }).mtimeNs),
      before,
    );
  });

  it('holds by size and time, else by content, of the image', async () => {
    const { made, folder } = store();
    const file = path.join(root, 'one.png');
    copyFileSync(images[0]!.path, file);
    const decoded = await decodeImage(file);
    await made.write(file, 'plain', decoded);
    const again = () => store(folder).made.read(file, 'plain');
    assert.deepEqual((await again())?.pixels, Buffer.from(decoded.pixels));
    utimesSync(file, 1, 1);
    assert.deepEqual((await again())?.pixels, Buffer.from(decoded.pixels), 'same content at another time');
    const bytes = readFileSync(file);
    bytes[bytes.length - 30]! ^= 1;
    writeFileSync(file, bytes);
    assert.equal(await again(), null, 'other content of the same size');
    appendFileSync(file, 'x');
    assert.equal(await again(), null, 'another size');
  });

  it('makes damaged files again: cut short, of another kind, with a flipped bit', async () => {
    const { made, folder } = store();
    const image = images[0]!.path;
    const decoded = await decodeImage(image);
    await made.write(image, 'plain', decoded);
    const [file] = filesIn(folder);
    const whole = readFileSync(file!);
    const read = () => store(folder).made.read(image, 'plain');
    truncateSync(file!, whole.length - 1);
    assert.equal(await read(), null);
    writeFileSync(file!, 'MEZZOIM1');
    assert.equal(await read(), null);
    writeFileSync(file!, Buffer.from('other kind of file'.padEnd(whole.length)));
    assert.equal(await read(), null);
    const flipped = Buffer.from(whole);
    flipped[200]! ^= 4;
    writeFileSync(file!, flipped);
    assert.equal(await read(), null);
    await store(folder).made.write(image, 'plain', decoded);
    assert.deepEqual(readFileSync(file!), whole);
  });

  it('keeps images of other sizes and channels apart', async () => {
    const { made, folder } = store();
    await made.write(images[0]!.path, 'plain', await decodeImage(images[0]!.path));
    assert.equal(await store(folder, 32).made.read(images[0]!.path, 'plain'), null);
  });

  it('says once that it cannot write, and the run goes on', async () => {
    const folder = path.join(root, 'file-in-the-way');
    writeFileSync(folder, '');
    const { made, problems } = store(folder);
    assert.deepEqual(await epoch(made), await epoch(null));
    assert.equal(problems.length, 1);
    assert.match(problems[0]!, /^(EEXIST|ENOTDIR): /);
  });

  it('knows what is missing', async () => {
    const { made } = store();
    const one = 72 + decodedBytes(images[0]!, 64, 3);
    assert.equal((await made.room(images)).needed, one * images.length);
    await epoch(made);
    const { needed, free } = await made.room(images);
    assert.equal(needed, 0);
    assert.ok(free > 0);
  });
});

describe('cache=', () => {
  const request = { train: images, val: images, imgsz: 64, channels: 3 };
  const bytes = images.length * (64 * 64 + 96 * 96) * 3;

  async function open(changes: Partial<Parameters<typeof openImageCache>[0]>) {
    const lines: string[] = [];
    const emit = (event: TrainEvent) => {
      if (event.event === 'message') lines.push(`${event.level}: ${event.text}`);
    };
    return { cache: await openImageCache({ setting: 'ram', ...request, ...changes }, emit), lines };
  }

  it('ram: keeps images where two thirds of the available memory hold them', async () => {
    const { cache, lines } = await open({ available: Math.ceil(bytes * 1.5) + 1 });
    assert.deepEqual([cache.ram, cache.setting], [true, 'ram']);
    assert.deepEqual(lines, ['info: cache=ram: the decoded images take 234 KiB of memory']);
  });

  it('ram: goes on without where they do not, and says so; a resumed run keeps its partners', async () => {
    const available = bytes;
    const { cache, lines } = await open({ available });
    assert.deepEqual([cache.ram, cache.setting], [false, false]);
    assert.deepEqual(lines, [
      'warning: cache=ram: the decoded images take 234 KiB, and there are 156 KiB of memory for them; going on without, cache=disk may fit',
    ]);
    const resumed = await open({ available, resumed: true });
    assert.deepEqual([resumed.cache.ram, resumed.cache.setting], [false, 'ram']);
  });

  it('disk: says where and how much, then that all is there', async () => {
    const folder = path.join(root, 'disk');
    const first = await open({ setting: 'disk', folder });
    assert.equal(first.cache.setting, 'disk');
    assert.deepEqual(first.lines, [`info: cache=disk: ${folder}, the decoded images take 235 KiB more`]);
    for (const { path: file } of images) {
      const whole = await decodeImage(file);
      await first.cache.val!.write(file, 'plain', whole);
      await first.cache.train!.write(file, 'plain', {
        pixels: new Uint8Array(64 * 64 * 3),
        width: 64,
        height: 64,
      });
    }
    const second = await open({ setting: 'disk', folder });
    assert.deepEqual(second.lines, [`info: cache=disk: ${folder}, all decoded images are there`]);
  });

  it('disk: goes on without where there is no room, and says so', async () => {
    const folder = path.join(root, 'small');
    const huge = images.map((image) => ({ ...image, width: 1e9, height: 1e9 }));
    const { cache, lines } = await open({ setting: 'disk', folder, val: huge });
    assert.equal(cache.setting, false);
    assert.equal(lines.length, 1);
    assert.match(
      lines[0]!,
      /^warning: cache=disk: the decoded images take [\d.]+ GiB, and there are [\d.]+ GiB in .*small for them; going on without, MEZZO_HOME names another folder$/,
    );
  });

  it('disk: goes on without where the folder cannot be made', async () => {
    const folder = path.join(root, 'closed', 'images');
    mkdirSync(path.dirname(folder));
    writeFileSync(folder, '');
    const { cache, lines } = await open({ setting: 'disk', folder });
    assert.equal(cache.setting, false);
    assert.deepEqual(lines, [
      `warning: cache=disk: EEXIST: file already exists, mkdir '${folder}'; going on without`,
    ]);
  });
});
