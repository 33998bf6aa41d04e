import assert from 'node:assert/strict';
import { createHash } from 'node:crypto';
import { existsSync, mkdirSync, readdirSync, readFileSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { describe, it } from 'node:test';
import sharp from 'sharp';
import { readDataYaml } from '../src/data/data-yaml.ts';
import { scanSplit } from '../src/data/scan.ts';
import { NightPainter, type NightPair } from '../src/datasets/night/draw.ts';
import { NIGHT_PRESETS, type NightPresetName } from '../src/datasets/night/presets.ts';
import { generateNight } from '../src/datasets/night.ts';
import { scratchFolder } from './scratch.ts';

const root = scratchFolder();
const SIDE = 96;

function pairsOf(preset: NightPresetName, count: number, seed = 0): NightPair[] {
  const painter = new NightPainter(NIGHT_PRESETS[preset], SIDE, seed);
  return Array.from({ length: count }, (_, sample) => painter.draw(0, sample));
}

function sha256(pairs: readonly NightPair[]): string {
  const hash = createHash('sha256');
  for (const { visible, infrared, labels } of pairs) {
    hash.update(visible).update(infrared).update(Float64Array.from(labels.flat()));
  }
  return hash.digest('hex');
}

function mean(values: Iterable<number>): number {
  let [sum, count] = [0, 0];
  for (const value of values) {
    sum += value;
    count++;
  }
  return sum / count;
}

/** Levels of one channel inside an object's box, and in a ring around it. */
function levels(pixels: Uint8Array, channels: number, [x1, y1, x2, y2]: readonly number[]) {
  const ring = 5;
  const inside: number[] = [];
  const around: number[] = [];
  const [left, top, right, bottom] = [x1!, y1!, x2!, y2!].map((v) => Math.round(v * SIDE)) as [
    number,
    number,
    number,
    number,
  ];
  for (let y = Math.max(0, top - ring); y < Math.min(SIDE, bottom + ring); y++) {
    for (let x = Math.max(0, left - ring); x < Math.min(SIDE, right + ring); x++) {
      const within = x >= left && x < right && y >= top && y < bottom;
      (within ? inside : around).push(pixels[(y * SIDE + x) * channels]!);
    }
  }
  return { inside, around };
}

function quantile(values: number[], part: number): number {
  return values.sort((a, b) => a - b)[Math.floor(part * (values.length - 1))]!;
}

function median(values: number[]): number {
  return quantile(values, 0.5);
}

describe('NightPainter', () => {
  // The parameters are fixed: a change of these numbers makes another data set.
  it('draws the pixels that its parameters were fixed with', () => {
    assert.deepEqual(
      {
        night: sha256(pairsOf('night', 8)),
        'clear-ir': sha256(pairsOf('clear-ir', 8)),
      },
      {
        night: '282afb5a1fb7c4faf96a2fb5f2e70de7908fc5e70f60c3e3e262a77a46d901c7',
        'clear-ir': 'e088e26335ae10f6290ef4fe049b8d9f227f15daa6acd9ef03c58afee05e938e',
      },
    );
  });

  it('draws a pair by its number, whatever was drawn before', () => {
    const painter = new NightPainter(NIGHT_PRESETS.night, SIDE, 7);
    const third = painter.draw(0, 3);
    assert.notDeepEqual(painter.draw(0, 2), third);
    assert.notDeepEqual(painter.draw(1, 3), third);
    assert.deepEqual(painter.draw(0, 3), third);
    assert.notDeepEqual(new NightPainter(NIGHT_PRESETS.night, SIDE, 8).draw(0, 3), third);
  });

  it('keeps labels inside the picture and objects mostly so', () => {
    for (const preset of ['night', 'clear-ir'] as const) {
      for (const { labels, objects } of pairsOf(preset, 40)) {
        assert.equal(labels.length, objects.length);
        for (const [id, cx, cy, w, h] of labels) {
          assert.ok(id === 0 || id === 1);
          assert.ok(cx - w / 2 >= -1e-9 && cx + w / 2 <= 1 + 1e-9, `${cx} ${w}`);
          assert.ok(cy - h / 2 >= -1e-9 && cy + h / 2 <= 1 + 1e-9, `${cy} ${h}`);
          assert.ok(w > 0.02 && h > 0.04, `${w} x ${h}`);
        }
      }
    }
  });

  it('shows warm objects in infrared and lit ones in visible light, each in the other hardly', () => {
    const names = ['person', 'vehicle'].flatMap((cls) =>
      ['both', 'infrared', 'visible'].map((seenBy) => `${cls} ${seenBy}`),
    );
    const contrast = Object.fromEntries(
      names.map((name) => [name, { warm: [] as number[], lit: [] as number[] }]),
    );
    const pairs = pairsOf('night', 100);
    for (const { visible, infrared, objects } of pairs) {
      for (const { cls, seenBy, box } of objects) {
        const list = contrast[`${cls} ${seenBy}`]!;
        const heat = levels(infrared, 1, box);
        list.warm.push(mean(heat.inside) - mean(heat.around));
        list.lit.push(quantile(levels(visible, 3, box).inside, 0.75));
      }
    }
    for (const cls of ['person', 'vehicle']) {
      for (const seenBy of ['both', 'infrared']) {
        assert.ok(median(contrast[`${cls} ${seenBy}`]!.warm) > 15, `${cls} ${seenBy} in infrared`);
      }
      assert.ok(Math.abs(median(contrast[`${cls} visible`]!.warm)) < 6, `${cls} in visible light only`);
      for (const seenBy of ['both', 'visible']) {
        assert.ok(median(contrast[`${cls} ${seenBy}`]!.lit) > 70, `${cls} ${seenBy} in visible light`);
      }
      assert.ok(median(contrast[`${cls} infrared`]!.lit) < 15, `${cls} in infrared only`);
    }
    const dark = mean(pairs.map(({ visible }) => mean(visible)));
    assert.ok(dark < 45, `the visible pictures are at level ${dark}`);
  });

  it('has objects that one picture alone does not show; in clear-ir infrared shows all', () => {
    const shares = (preset: NightPresetName) => {
      const objects = pairsOf(preset, 100).flatMap((pair) => pair.objects);
      const share = (seenBy: string) =>
        objects.filter((object) => object.seenBy === seenBy).length / objects.length;
      return { infrared: share('infrared'), visible: share('visible') };
    };
    const night = shares('night');
    assert.ok(night.infrared > 0.25 && night.infrared < 0.45, `${night.infrared}`);
    assert.ok(night.visible > 0.2 && night.visible < 0.4, `${night.visible}`);
    assert.equal(shares('clear-ir').visible, 0);
  });
});

describe('generateNight', () => {
  const small = { train: 4, val: 2, imgsz: 64, seed: 4 };

  function contents(folder: string): Record<string, string> {
    const names = readdirSync(folder, { recursive: true, withFileTypes: true })
      .filter((entry) => entry.isFile())
      .map((entry) => path.relative(folder, path.join(entry.parentPath, entry.name)))
      .sort();
    return Object.fromEntries(
      names.map((name) => [name, readFileSync(path.join(folder, name)).toString('base64')]),
    );
  }

  it('writes pairs that pass every check, the visible pictures as RGB, the infrared ones as grey', async () => {
    for (const imgsz of [32, 100]) {
      const out = path.join(root, `checked${imgsz}`);
      const set = await generateNight({ out, ...small, imgsz });
      const data = await readDataYaml(set.yaml);
      assert.deepEqual(data.names, ['person', 'vehicle']);
      let boxes = 0;
      for (const name of ['train', 'val'] as const) {
        const { report } = await scanSplit(data, name, { strict: true, cache: false });
        assert.equal(report.images, small[name]);
        boxes += report.boxes;
        const stems = readdirSync(path.join(out, 'images', name));
        assert.deepEqual(readdirSync(path.join(out, 'imagesIR', name)), stems);
        for (const [folder, channels] of [
          ['images', 3],
          ['imagesIR', 1],
        ] as const) {
          const header = await sharp(path.join(out, folder, name, stems[0]!)).metadata();
          assert.deepEqual([header.width, header.height, header.channels], [imgsz, imgsz, channels]);
        }
      }
      assert.deepEqual(set, {
        yaml: path.join(out, 'data.yaml'),
        train: 4,
        val: 2,
        classes: data.names,
        boxes,
      });
    }
  });

  it('writes the same bytes for the same options, others for another seed or preset', async () => {
    const write = async (name: string, options: { seed?: number; preset?: NightPresetName } = {}) => {
      await generateNight({ out: path.join(root, name), ...small, ...options });
      return contents(path.join(root, name));
    };
    const first = await write('one');
    assert.deepEqual(await write('two'), first);
    for (const [name, options] of [
      ['three', { seed: 5 }],
      ['four', { preset: 'clear-ir' }],
    ] as const) {
      const other = await write(name, options);
      assert.deepEqual(Object.keys(other), Object.keys(first));
      assert.notDeepEqual(other, first);
    }
  });

  it('writes the layout of LLVIP', async () => {
    const out = path.join(root, 'llvip');
    await generateNight({ out, ...small, layout: 'llvip' });
    assert.deepEqual(
      Object.keys(contents(out)).filter((name) => !name.includes('00001') && !/0000[23]/.test(name)),
      [
        'Annotations/000000.xml',
        'Annotations/100000.xml',
        'data.yaml',
        'infrared/test/100000.jpg',
        'infrared/train/000000.jpg',
        'visible/test/100000.jpg',
        'visible/train/000000.jpg',
      ],
    );
    const yolo = path.join(root, 'one', 'labels', 'train', '00000.txt');
    const rows = readFileSync(yolo, 'utf8')
      .trim()
      .split('\n')
      .map((row) => row.split(' ').map(Number));
    const xml = readFileSync(path.join(out, 'Annotations', '000000.xml'), 'utf8');
    const tag = (name: string) =>
      Array.from(xml.matchAll(new RegExp(`<${name}>(.*)</${name}>`, 'g')), (m) => m[1]!);
    assert.deepEqual(
      tag('name'),
      rows.map(([id]) => ['person', 'vehicle'][id!]),
    );
    for (const [i, [, cx, , w]] of rows.entries()) {
      const [x1, x2] = [Number(tag('xmin')[i]) - 1, Number(tag('xmax')[i]) - 1];
      assert.ok(Math.abs(x1 - (cx! - w! / 2) * 64) <= 0.5 && Math.abs(x2 - (cx! + w! / 2) * 64) <= 0.5);
    }
  });

  it('leaves nothing behind when it is stopped, and refuses a folder with files', async () => {
    const stopped = path.join(root, 'stopped');
    await assert.rejects(generateNight({ out: stopped, ...small, signal: AbortSignal.abort() }), {
      name: 'AbortError',
    });
    assert.deepEqual(
      [existsSync(stopped), readdirSync(root).filter((name) => name.endsWith('.tmp'))],
      [false, []],
    );
    const taken = path.join(root, 'taken');
    mkdirSync(taken);
    writeFileSync(path.join(taken, 'file'), '');
    await assert.rejects(generateNight({ out: taken, ...small }), {
      code: 'BAD_DATA',
      message: `${taken} is not empty`,
      hint: 'name a new folder, or empty this one',
    });
  });
});
