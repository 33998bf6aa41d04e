import assert from 'node:assert/strict';
import { mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { after, describe, it } from 'node:test';
import sharp from 'sharp';
import { classColor } from '../src/plots/palette.ts';
import { pictureName, type RawImage } from '../src/plots/raster.ts';
import { readImage } from '../src/predict/image.ts';
import { Results } from '../src/predict/results.ts';

const folder = mkdtempSync(path.join(tmpdir(), 'mezzo-results-'));
after(() => rmSync(folder, { recursive: true }));

const gray = (width: number, height: number, channels = 3): RawImage => ({
  data: new Uint8Array(width * height * channels).fill(128),
  width,
  height,
  channels,
});

function results(image: string | Uint8Array | RawImage = gray(200, 100)): Results {
  return new Results({
    path: 'photos/two.jpg',
    views: [image],
    width: 200,
    height: 100,
    names: ['RBC', '../WBC'],
    detections: {
      count: 3,
      boxes: Float32Array.of(20, 30, 60, 70, 100.25, 10, 140.5, 90, 0, 0, 200, 100),
      conf: Float32Array.of(0.9, 0.5, 0.25),
      cls: Int32Array.of(0, 1, 0),
    },
    speed: { preprocess: 0.001, inference: 0.02, postprocess: 0.003 },
  });
}

const pixel = ({ data, width }: RawImage, x: number, y: number) =>
  Array.from(data.subarray((y * width + x) * 3).subarray(0, 3));
const rgb = (color: string) => [1, 3, 5].map((at) => Number.parseInt(color.slice(at, at + 2), 16));

describe('Results', () => {
  it('gives the boxes in every form', () => {
    const { boxes } = results();
    assert.equal(boxes.length, 3);
    assert.deepEqual(boxes.xyxy[0], [20, 30, 60, 70]);
    assert.deepEqual(boxes.xywh[0], [40, 50, 40, 40]);
    assert.deepEqual(boxes.xyxyn[0], [0.1, 0.3, 0.3, 0.7]);
    assert.deepEqual(boxes.xywhn[0], [0.2, 0.5, 0.2, 0.4]);
    assert.deepEqual(boxes.cls, [0, 1, 0]);
    assert.deepEqual(boxes.conf, [Math.fround(0.9), 0.5, 0.25]);
    assert.deepEqual([...boxes][1], { xyxy: [100.25, 10, 140.5, 90], conf: 0.5, cls: 1 });
  });

  it('of a pair draws both pictures with all boxes, cuts from the first, and names the second', async () => {
    const pair = new Results({
      path: 'images/a.jpg',
      infrared: null,
      views: [gray(64, 32), { ...gray(64, 32), data: new Uint8Array(64 * 32 * 3) }],
      ...{ width: 64, height: 32, names: ['one'] },
      detections: {
        count: 1,
        boxes: Float32Array.of(16, 8, 48, 24),
        conf: Float32Array.of(0.9),
        cls: Int32Array.of(0),
      },
      speed: { preprocess: 0, inference: 0, postprocess: 0 },
    });
    const drawn = await pair.plot({ labels: false, conf: false, lineWidth: 2 });
    assert.deepEqual([drawn.width, drawn.height], [128, 32]);
    for (const left of [0, 64]) assert.deepEqual(pixel(drawn, left + 32, 8), rgb(classColor(0)));
    assert.deepEqual(pixel(drawn, 2, 2), [128, 128, 128]);
    assert.deepEqual(pixel(drawn, 66, 2), [0, 0, 0]);
    const [crop] = await pair.saveCrop(path.join(folder, 'pair'));
    assert.equal((await readImage(crop!)).width, 32);
    assert.deepEqual(Object.keys(pair.toJSON()), ['path', 'infrared', 'width', 'height', 'boxes']);
    assert.equal(pair.infrared, null);
  });

  it('prints the line of `predict --json`', () => {
    assert.deepEqual(JSON.parse(JSON.stringify(results())), {
      path: 'photos/two.jpg',
      width: 200,
      height: 100,
      boxes: [
        { cls: 0, name: 'RBC', conf: 0.9, xyxy: [20, 30, 60, 70] },
        { cls: 1, name: '../WBC', conf: 0.5, xyxy: [100.25, 10, 140.5, 90] },
        { cls: 0, name: 'RBC', conf: 0.25, xyxy: [0, 0, 200, 100] },
      ],
    });
  });

  it('says in words what was found', () => {
    assert.equal(results().summary(), 'photos/two.jpg: 200x100 2 RBC, 1 ../WBC, 20.0ms');
  });

  it('writes YOLO text, with confidences on request', async () => {
    const file = path.join(folder, 'labels', 'two.txt');
    await results().saveTxt(file);
    assert.equal(
      readFileSync(file, 'utf8'),
      '0 0.2 0.5 0.2 0.4\n1 0.601875 0.5 0.20125 0.8\n0 0.5 0.5 1 1\n',
    );
    await results().saveTxt(file, { conf: true });
    assert.equal(readFileSync(file, 'utf8').split('\n')[1], '1 0.601875 0.5 0.20125 0.8 0.5');
  });

  it('draws boxes in the colour of their class and leaves the image alone', async () => {
    const image = gray(200, 100);
    const plotted = await results(image).plot();
    assert.deepEqual([plotted.width, plotted.height, plotted.channels], [200, 100, 3]);
    assert.deepEqual(pixel(plotted, 20, 50), rgb(classColor(0)));
    assert.deepEqual(pixel(plotted, 60, 60), rgb(classColor(0)));
    assert.deepEqual(pixel(plotted, 120, 90), rgb(classColor(1)));
    assert.deepEqual(pixel(plotted, 40, 50), [128, 128, 128]);
    assert.ok(image.data.every((value) => value === 128));
  });

  it('draws what it is asked to draw', async () => {
    const plain = await results().plot({ boxes: false });
    assert.ok(plain.data.every((value) => value === 128));
    const bare = await results().plot({ labels: false, conf: false });
    const labelled = await results().plot();
    assert.deepEqual(pixel(bare, 24, 25), [128, 128, 128]);
    assert.notDeepEqual(pixel(labelled, 24, 25), [128, 128, 128]);
    const wide = await results().plot({ lineWidth: 9 });
    assert.deepEqual(pixel(wide, 23, 60), rgb(classColor(0)));
    assert.deepEqual(pixel(labelled, 23, 60), [128, 128, 128]);
  });

  it('draws on images of one and of six channels', async () => {
    for (const channels of [1, 6]) {
      const plotted = await results(gray(200, 100, channels)).plot();
      assert.deepEqual(pixel(plotted, 20, 50), rgb(classColor(0)));
      assert.deepEqual(pixel(plotted, 40, 50), [128, 128, 128]);
    }
  });

  it('saves pictures by suffix', async () => {
    for (const format of ['jpeg', 'png', 'webp'] as const) {
      const file = path.join(folder, 'pictures', `two.${format}`);
      await results().save(file);
      const meta = await sharp(file).metadata();
      assert.deepEqual([meta.format, meta.width, meta.height], [format, 200, 100]);
    }
    assert.equal(pictureName('a/b.JPG'), 'b.JPG');
    assert.equal(pictureName('a/b.bmp'), 'b.jpg');
  });

  it('cuts out every box, below the folder whatever the class is called', async () => {
    const written = await results().saveCrop(path.join(folder, 'crops'));
    assert.deepEqual(
      written.map((file) => path.relative(folder, file)),
      ['crops/RBC/two.jpg', 'crops/.._WBC/two.jpg', 'crops/RBC/two-2.jpg'],
    );
    const sizes = await Promise.all(written.map((file) => sharp(file).metadata()));
    assert.deepEqual(
      sizes.map(({ width, height }) => [width, height]),
      [
        [40, 40],
        [41, 80],
        [200, 100],
      ],
    );
    assert.deepEqual(readdirSync(path.join(folder, 'crops')).sort(), ['.._WBC', 'RBC']);
  });

  it('takes pixels from files and encoded bytes', async () => {
    const png = await sharp({ create: { width: 200, height: 100, channels: 4, background: '#0000ff80' } })
      .png()
      .toBuffer();
    const file = path.join(folder, 'blue.png');
    writeFileSync(file, png);
    for (const image of [file, png]) {
      const plotted = await results(image).plot();
      assert.deepEqual(pixel(plotted, 20, 50), rgb(classColor(0)));
    }
  });
});

describe('readImage', () => {
  it('turns an image upright by its EXIF orientation', async () => {
    const sideways = await sharp({ create: { width: 30, height: 10, channels: 3, background: '#112233' } })
      .jpeg()
      .withMetadata({ orientation: 6 })
      .toBuffer();
    const { width, height } = await readImage(sideways);
    assert.deepEqual([width, height], [10, 30]);
  });

  it('makes RGB of grey and of 16-bit images', async () => {
    const grayscale = await sharp(gray(8, 4).data, { raw: { width: 8, height: 4, channels: 3 } })
      .toColourspace('b-w')
      .png()
      .toBuffer();
    const decoded = await readImage(grayscale);
    assert.deepEqual([decoded.channels, Array.from(decoded.data.subarray(0, 3))], [3, [128, 128, 128]]);
    const deep = await sharp(gray(8, 4).data, { raw: { width: 8, height: 4, channels: 3 } })
      .toColourspace('rgb16')
      .png()
      .toBuffer();
    assert.deepEqual(Array.from((await readImage(deep)).data.subarray(0, 3)), [128, 128, 128]);
  });

  it('names the file that is no image', async () => {
    const file = path.join(folder, 'broken.jpg');
    writeFileSync(file, 'not an image');
    await assert.rejects(readImage(file), {
      code: 'BAD_IMAGE',
      message: `${file}: not an image that can be decoded`,
      hint: 'open it in an image viewer and save it again as JPEG or PNG, or remove it',
    });
  });

  it('refuses a truncated image', async () => {
    const whole = await sharp({ create: { width: 300, height: 300, channels: 3, background: '#335577' } })
      .jpeg()
      .toBuffer();
    await assert.rejects(readImage(whole.subarray(0, whole.length / 2)), { code: 'BAD_IMAGE' });
  });
});
