import assert from 'node:assert/strict';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { after, describe, it } from 'node:test';
import sharp from 'sharp';
import { DetectionMetrics } from '../src/metrics/detection.ts';
import { plotConfusion } from '../src/plots/confusion.ts';
import { plotCurves } from '../src/plots/curves.ts';
import { heatColor } from '../src/plots/heat.ts';
import { plotLabels } from '../src/plots/labels.ts';
import { detectionBoxes, plotMosaic, targetBoxes } from '../src/plots/mosaic.ts';
import { classColor } from '../src/plots/palette.ts';
import { plotResults, svgResults } from '../src/plots/results.ts';
import { gaussianSmooth } from '../src/plots/smooth.ts';
import { niceTicks, paddedRange, tickLabels } from '../src/plots/ticks.ts';
import { bccd, bccdImages } from './bccd.ts';

const folder = mkdtempSync(path.join(tmpdir(), 'mezzo-plots-'));
after(() => rmSync(folder, { recursive: true }));
const at = (name: string) => path.join(folder, name);

interface Picture {
  width: number;
  height: number;
  /** Pixels within 12 levels of a colour. */
  count: (color: string) => number;
  pixel: (x: number, y: number) => number[];
}

async function read(file: string): Promise<Picture> {
  const { data, info } = await sharp(file).removeAlpha().raw().toBuffer({ resolveWithObject: true });
  return {
    width: info.width,
    height: info.height,
    count: (color) => {
      const [r, g, b] = [1, 3, 5].map((start) => Number.parseInt(color.slice(start, start + 2), 16));
      let count = 0;
      for (let i = 0; i < data.length; i += 3) {
        const off = Math.max(
          Math.abs(data[i]! - r!),
          Math.abs(data[i + 1]! - g!),
          Math.abs(data[i + 2]! - b!),
        );
        if (off <= 12) count++;
      }
      return count;
    },
    pixel: (x, y) => Array.from(data.subarray(3 * (y * info.width + x), 3 * (y * info.width + x) + 3)),
  };
}

function bccdResult() {
  const metrics = new DetectionMetrics(bccd.names);
  for (const { detections, targets } of bccdImages()) metrics.add(detections, targets);
  return metrics.result();
}

const columnsOf = (names: string[], values: number[]) => new Map(names.map((name) => [name, values]));
const NAMES = [
  'train/box_loss',
  'train/cls_loss',
  'train/dfl_loss',
  'metrics/precision(B)',
  'metrics/recall(B)',
  'metrics/mAP50(B)',
  'metrics/mAP50-95(B)',
  'val/box_loss',
  'val/cls_loss',
  'val/dfl_loss',
];

describe('results.png', () => {
  it('has two rows of five panels with a raw and a smoothed line in each', async () => {
    const values = [3, 2.5, 2.2, 1.9, 1.8, 1.8, 1.7, 1.6];
    await plotResults(
      { epochs: values.map((_, i) => i + 1), columns: columnsOf(NAMES, values) },
      at('results.png'),
    );
    const picture = await read(at('results.png'));
    assert.deepEqual([picture.width, picture.height], [2000, 800]);
    // dots, and a solid line
    assert.ok(picture.count('#2f7ed8') > 10 * 8 * 25);
    assert.ok(picture.count('#f07f3c') > 10 * 300);
  });

  it('smooths nothing over so few epochs that the line would be their mean', () => {
    const history = (epochs: number[]) => ({ epochs, columns: columnsOf(NAMES, epochs) });
    assert.ok(!svgResults(history([1, 2, 3, 4, 5, 6])).includes('#f07f3c'));
    assert.equal(svgResults(history([1, 2, 3, 4, 5, 6, 7])).split('stroke="#f07f3c"').length - 1, 10 + 1);
  });

  it('copes with one epoch, with constants and with values that are not finite', async () => {
    await plotResults({ epochs: [1], columns: columnsOf(NAMES, [0]) }, at('one.png'));
    const broken = [Number.NaN, Number.POSITIVE_INFINITY, 1];
    await plotResults({ epochs: [1, 2, 3], columns: columnsOf(NAMES, broken) }, at('nan.png'));
    await plotResults({ epochs: [1], columns: columnsOf(NAMES, [Number.NaN]) }, at('void.png'));
    for (const name of ['one.png', 'nan.png', 'void.png']) assert.equal((await read(at(name))).width, 2000);
    assert.ok((await read(at('one.png'))).count('#2f7ed8') > 10 * 20);
  });
});

describe('curves', () => {
  it('are four files in the colours of the classes', async () => {
    const files = await plotCurves(bccdResult(), folder);
    assert.deepEqual(
      files.map((file) => path.basename(file)),
      ['BoxPR_curve.png', 'BoxF1_curve.png', 'BoxP_curve.png', 'BoxR_curve.png'],
    );
    for (const file of files) {
      const picture = await read(file);
      assert.deepEqual([picture.width, picture.height], [1350, 900]);
      for (const id of [0, 1, 2]) assert.ok(picture.count(classColor(id)) > 500, file);
    }
  });

  it('can be drawn when nothing was there to be found', async () => {
    const files = await plotCurves(new DetectionMetrics(['a']).result(), mkdtempSync(at('none-')));
    assert.equal((await read(files[0]!)).width, 1350);
  });

  it('name only the mean when there are many classes', async () => {
    const names = Array.from({ length: 40 }, (_, i) => `class ${i}`);
    const metrics = new DetectionMetrics(names);
    const cls = Int32Array.from(names.keys());
    const boxes = Float32Array.from(names.flatMap((_, i) => [20 * i, 0, 20 * i + 10, 10]));
    const conf = Float32Array.from(names, (_, i) => 0.9 - i / 100);
    metrics.add({ count: 40, boxes, conf, cls }, { count: 40, boxes, cls });
    const result = metrics.result();
    const target = mkdtempSync(at('many-'));
    const [curve] = await plotCurves(result, target);
    assert.equal((await read(curve!)).count(classColor(0)), 0);
    const [matrix] = await plotConfusion(result.confusion, names, target);
    assert.ok((await read(matrix!)).count(heatColor(1)) > 40 * 300);
  });

  it('make the confusion matrix as large as its names need, up to a limit', async () => {
    const width = async (classes: number) => {
      const names = Array.from({ length: classes }, (_, i) => `${i}`);
      const { confusion } = new DetectionMetrics(names).result();
      const [file] = await plotConfusion(confusion, names, mkdtempSync(at('size-')));
      return (await read(file!)).width;
    };
    const [few, many, most] = [await width(3), await width(79), await width(300)];
    assert.ok(
      few < 1300 && many > 79 * 20 && many < 2000 && most > 2400 && most < 2800,
      `${few} ${many} ${most}`,
    );
  });
});

describe('confusion matrix', () => {
  it('is drawn as counts and normalized', async () => {
    const { confusion, names } = bccdResult();
    const files = await plotConfusion(confusion, names, folder);
    assert.deepEqual(
      files.map((file) => path.basename(file)),
      ['confusion_matrix.png', 'confusion_matrix_normalized.png'],
    );
    const [counts, normalized] = await Promise.all(files.map(read));
    // one cell of the 4 x 4 has the full count, three have more than 0.85 of their column
    const cell = 225 ** 2;
    assert.ok(counts!.count(heatColor(1)) > 0.9 * cell && counts!.count(heatColor(1)) < 1.5 * cell);
    assert.ok(normalized!.count(heatColor(685 / 805)) > 0.9 * cell);
  });
});

describe('labels.jpg', () => {
  it('shows the classes in their colours', async () => {
    const images = bccdImages();
    const cls = Int32Array.from(images.flatMap(({ targets }) => Array.from(targets.cls)));
    const boxes = Float32Array.from(
      images.flatMap(({ targets }) => Array.from(targets.boxes, (v, i) => v / (i % 2 === 0 ? 640 : 480))),
    );
    await plotLabels({ cls, boxes }, bccd.names, at('labels.jpg'));
    const picture = await read(at('labels.jpg'));
    assert.deepEqual([picture.width, picture.height], [1280, 1280]);
    assert.ok(picture.count(classColor(0)) > 50_000);
    for (const id of [1, 2]) assert.ok(picture.count(classColor(id)) > 2000);
  });

  it('can be drawn without any box', async () => {
    await plotLabels({ cls: new Int32Array(0), boxes: new Float32Array(0) }, ['a', 'b'], at('no-labels.jpg'));
    assert.equal((await read(at('no-labels.jpg'))).width, 1280);
  });

  it('is larger where many classes have names, and small again where they are numbered', async () => {
    for (const [classes, width] of [
      [80, 2 * (80 * 12 + 130)],
      [101, 1280],
    ] as const) {
      const names = Array.from({ length: classes }, (_, i) => `c${i}`);
      await plotLabels(
        { cls: Int32Array.of(3), boxes: Float32Array.of(0.5, 0.1, 0.2, 0.2) },
        names,
        at('many.jpg'),
      );
      assert.equal((await read(at('many.jpg'))).width, width);
    }
  });

  it('has the top of the pictures at the top', async () => {
    await plotLabels(
      { cls: Int32Array.of(0), boxes: Float32Array.of(0.5, 0.1, 0.2, 0.2) },
      ['a'],
      at('top.png'),
    );
    const picture = await read(at('top.png'));
    // the lower left panel begins at y 640, its area at 690; the only cell is a tenth of 510 below that
    const cell = (y: number) => picture.pixel(90 + 260, y);
    assert.deepEqual(cell(690 + 56), [8, 48, 107]);
    assert.notDeepEqual(cell(690 + 510 - 56), [8, 48, 107]);
  });
});

describe('mosaic', () => {
  const batch = (images: number, width: number, height: number) => ({
    data: new Uint8Array(images * width * height * 3).map(
      (_, i) => 40 + 10 * Math.floor(i / (width * height * 3)),
    ),
    width,
    height,
    channels: 3,
    paths: Array.from({ length: images }, (_, i) => `some/folder/image-${i}.jpg`),
    boxes: Array.from({ length: images }, () => []),
  });

  it('lays out up to sixteen images in a grid', async () => {
    await plotMosaic(batch(20, 64, 48), at('grid.png'));
    const picture = await read(at('grid.png'));
    // enlarged fivefold, 6 pixels between, 22 below each for its name
    assert.deepEqual([picture.width, picture.height], [4 * 320 + 18, 4 * (240 + 22)]);
    for (const i of [0, 5, 15]) {
      const [x, y] = [(i % 4) * 326 + 160, Math.floor(i / 4) * 262 + 10];
      assert.deepEqual(picture.pixel(x, y), [40 + 10 * i, 40 + 10 * i, 40 + 10 * i]);
    }
    assert.deepEqual(picture.pixel(323, 20), [255, 255, 255]);
  });

  it('shows the two pictures of a pair side by side, with the boxes on both', async () => {
    const [width, height, channels] = [64, 48, 4];
    const data = new Uint8Array(width * height * channels).map((_, i) => (i % 4 === 3 ? 200 : 50));
    const boxes = [[{ xyxy: [16, 12, 48, 36] as const, cls: 2, label: 'c' }]];
    await plotMosaic({ data, width, height, channels, paths: ['a.jpg'], boxes }, at('pair.png'));
    const picture = await read(at('pair.png'));
    assert.deepEqual([picture.width, picture.height], [2 * 320, 240 + 22]);
    assert.deepEqual(picture.pixel(20, 120), [50, 50, 50]);
    assert.deepEqual(picture.pixel(340, 120), [200, 200, 200]);
    const green = [1, 3, 5].map((start) => Number.parseInt(classColor(2).slice(start, start + 2), 16));
    for (const left of [0, 320]) assert.deepEqual(picture.pixel(left + 240, 120), green);
  });

  it('scales large images down to 1920 pixels in a row', async () => {
    await plotMosaic(batch(4, 1280, 640), at('large.png'));
    const picture = await read(at('large.png'));
    assert.deepEqual([picture.width, picture.height], [2 * 960 + 6, 2 * (480 + 22)]);
  });

  it('draws true boxes where they are', async () => {
    const targets = Float32Array.of(1, 2, 0.5, 0.5, 0.5, 0.5);
    const boxes = targetBoxes(targets, 2, { width: 200, height: 100 }, ['a', 'b', 'c']);
    assert.deepEqual(boxes, [[], [{ xyxy: [50, 25, 150, 75], cls: 2, label: 'c' }]]);
    await plotMosaic({ ...batch(2, 200, 100), boxes }, at('boxes.png'));
    const picture = await read(at('boxes.png'));
    const green = [1, 3, 5].map((start) => Number.parseInt(classColor(2).slice(start, start + 2), 16));
    // both enlarged by 1.6; the right edge of the box
    assert.deepEqual(picture.pixel(326 + 240, 96), green);
    assert.deepEqual(picture.pixel(240, 96), [40, 40, 40]);
  });

  it('leaves out predictions of low confidence', () => {
    const detections = {
      count: 2,
      boxes: Float32Array.of(1, 2, 3, 4, 5, 6, 7, 8),
      conf: Float32Array.of(0.81, 0.2),
      cls: Int32Array.of(1, 0),
    };
    assert.deepEqual(detectionBoxes(detections, ['a', 'b']), [
      { xyxy: [1, 2, 3, 4], cls: 1, label: 'b 0.81' },
    ]);
  });
});

describe('gaussianSmooth', () => {
  it("gives scipy's gaussian_filter1d", () => {
    const cases = [
      [
        [0.1, 0.5, 0.2, 0.9, 0.7, 1.0, 0.3],
        [0.43300989, 0.454810748, 0.491956901, 0.534407913, 0.572451168, 0.599741937, 0.613621442],
      ],
      [
        [1, 3],
        [1.999980146, 2.000019854],
      ],
    ] as const;
    for (const [values, expected] of cases) {
      gaussianSmooth(values, 3).forEach((value, i) => {
        assert.ok(Math.abs(value - expected[i]!) < 1e-8, `${value} is not ${expected[i]}`);
      });
    }
  });
});

describe('ticks', () => {
  it('are round and inside the range', () => {
    assert.deepEqual(niceTicks([0, 1], 10), [0, 0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 1]);
    assert.deepEqual(niceTicks([-3, 41], 4), [0, 20, 40]);
    assert.deepEqual(tickLabels([0, 0.25, 0.5]), ['0.00', '0.25', '0.50']);
    assert.deepEqual(tickLabels([0, 1e6, 2e6]), ['0', '1e+06', '2e+06']);
  });

  it('have a range even without values', () => {
    assert.deepEqual(paddedRange([]), [0, 1]);
    assert.deepEqual(paddedRange([5]), [4.75, 5.25]);
    assert.deepEqual(paddedRange([0]), [-0.05, 0.05]);
  });
});
