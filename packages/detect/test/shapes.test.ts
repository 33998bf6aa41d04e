import assert from 'node:assert/strict';
import { existsSync, mkdirSync, readdirSync, readFileSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { describe, it } from 'node:test';
import { readDataYaml } from '../src/data/data-yaml.ts';
import { scanSplit } from '../src/data/scan.ts';
import { boxOf, contains, corners, FIGURE_NAMES } from '../src/datasets/figures.ts';
import { generateShapes } from '../src/datasets/shapes.ts';
import { scratchFolder } from './scratch.ts';

const root = scratchFolder();
const small = { train: 5, val: 3, imgsz: 64, seed: 4 };

/** Every file below a folder with its content. */
function contents(folder: string): Record<string, string> {
  const files = readdirSync(folder, { recursive: true, withFileTypes: true }).filter((entry) =>
    entry.isFile(),
  );
  const names = files.map((entry) => path.relative(folder, path.join(entry.parentPath, entry.name))).sort();
  return Object.fromEntries(
    names.map((name) => [name, readFileSync(path.join(folder, name)).toString('base64')]),
  );
}

describe('generateShapes', () => {
  it('writes a data set that passes every check', async () => {
    const out = path.join(root, 'checked');
    const set = await generateShapes({ out, ...small });
    const boxes = { train: 0, val: 0 };
    const data = await readDataYaml(set.yaml);
    for (const name of ['train', 'val'] as const) {
      const { report, images } = await scanSplit(data, name, { strict: true, cache: false });
      assert.equal(report.images, small[name]);
      assert.deepEqual([report.backgrounds, report.leftOut], [0, []]);
      for (const { width, height } of images) assert.deepEqual([width, height], [64, 64]);
      boxes[name] = report.boxes;
    }
    assert.deepEqual(data.names, ['circle', 'square', 'triangle']);
    assert.deepEqual(set, {
      yaml: path.join(out, 'data.yaml'),
      train: 5,
      val: 3,
      classes: ['circle', 'square', 'triangle'],
      boxes: boxes.train + boxes.val,
    });
  });

  it('writes the same bytes for the same options, and others for another seed', async () => {
    const write = async (name: string, seed: number) => {
      await generateShapes({ out: path.join(root, name), ...small, seed });
      return contents(path.join(root, name));
    };
    const first = await write('one', 4);
    assert.deepEqual(await write('two', 4), first);
    const other = await write('three', 5);
    assert.deepEqual(Object.keys(other), Object.keys(first));
    assert.notDeepEqual(other, first);
  });

  it('draws every figure it knows', async () => {
    const out = path.join(root, 'all');
    const { yaml } = await generateShapes({
      out,
      train: 40,
      val: 1,
      imgsz: 48,
      seed: 0,
      classes: FIGURE_NAMES,
    });
    const { images } = await scanSplit(await readDataYaml(yaml), 'train', { cache: false });
    const seen = new Set(images.flatMap(({ labels }) => Array.from(labels).filter((_, i) => i % 5 === 0)));
    assert.deepEqual(
      [...seen].sort(),
      FIGURE_NAMES.map((_, id) => id),
    );
  });

  it('puts the box around the figure', () => {
    for (const name of FIGURE_NAMES) {
      for (const angle of [0, 0.3, 1.9]) {
        const figure = { name, x: 50, y: 40, radius: 30, angle };
        const points = corners(figure);
        let [x1, y1, x2, y2] = [Infinity, Infinity, -Infinity, -Infinity];
        for (let y = 0; y < 100; y += 0.25) {
          for (let x = 0; x < 100; x += 0.25) {
            if (!contains(figure, points, x, y)) continue;
            [x1, y1, x2, y2] = [Math.min(x1, x), Math.min(y1, y), Math.max(x2, x), Math.max(y2, y)];
          }
        }
        for (const [i, side] of boxOf(figure).entries()) {
          const seen = [x1, y1, x2, y2][i]!;
          assert.ok(
            Math.abs(side - seen) < 1.5,
            `${name} turned by ${angle}: side ${i} is ${side}, seen ${seen}`,
          );
        }
      }
    }
  });

  it('takes an empty folder, and refuses one with files', async () => {
    const out = path.join(root, 'taken');
    mkdirSync(out);
    await generateShapes({ out, ...small });
    await assert.rejects(generateShapes({ out, ...small }), {
      code: 'BAD_DATA',
      message: `${out} is not empty`,
      hint: 'name a new folder, or empty this one',
    });
  });

  it('leaves nothing behind when it fails or is stopped', async () => {
    const file = path.join(root, 'file');
    writeFileSync(file, '');
    const out = path.join(file, 'below');
    await assert.rejects(generateShapes({ out, ...small }), {
      code: 'BAD_DATA',
      message: `cannot write ${out}: ENOTDIR: not a directory, mkdir '${out}.${process.pid}.tmp'`,
      hint: 'choose another folder',
    });
    const stopped = path.join(root, 'stopped');
    await assert.rejects(generateShapes({ out: stopped, ...small, signal: AbortSignal.abort() }), {
      name: 'AbortError',
    });
    assert.deepEqual(
      [existsSync(stopped), readdirSync(root).filter((name) => name.endsWith('.tmp'))],
      [false, []],
    );
  });

  it('refuses a figure it does not know', async () => {
    const classes = ['circle', 'blob'] as unknown as typeof FIGURE_NAMES;
    await assert.rejects(generateShapes({ out: path.join(root, 'none'), ...small, classes }), {
      code: 'BAD_DATA',
      message: "there is no figure 'blob'",
      hint: 'figures: circle, square, triangle, star, cross, hexagon',
    });
  });
});
