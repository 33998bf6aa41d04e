/** Augmentation against numbers made with OpenCV 5.0.0 and Ultralytics 8.4.190. */
import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { describe, it } from 'node:test';
import { gunzipSync } from 'node:zlib';
import { native } from '@mezzo/libtorch';
import {
  affineMatrix,
  clipBox,
  fitLongSide,
  keepBox,
  type Letterbox,
  letterbox,
  type Matrix,
  mosaicTile,
  NO_AFFINE,
  type Rectangle,
  type Size,
  warpBox,
} from '../src/augment/geometry.ts';
import { type HsvFactors, hsvTables } from '../src/augment/hsv.ts';
import { canvasBoxes } from '../src/augment/plan.ts';
import {
  blankRaster,
  hsvToRgb,
  jitterHsv,
  paste,
  type Raster,
  resizeNearest,
  rgbToHsv,
  toGray,
  warpImage,
} from '../src/augment/reference.ts';
import { BORDER, letterboxJob, resizeJob } from '../src/augment/warp-job.ts';
import { readFixture } from './fixture.ts';

interface Golden {
  images: Record<string, [number, number, number]>;
  letterbox: {
    output: string;
    image: string;
    new_shape: number | [number, number];
    scaleup?: boolean;
    auto?: boolean;
    scale_fill?: boolean;
    center?: boolean;
    ratio: [number, number];
    new_unpad_wh: [number, number];
    top: number;
    bottom: number;
    left: number;
    right: number;
    shape: [number, number, number];
  }[];
  resize: {
    output: string;
    image: string;
    dsize_wh: [number, number];
    interpolation: 'linear' | 'nearest';
  }[];
  load_resize: { h0: number; w0: number; imgsz: number; w: number; h: number }[];
  affine: {
    name: string;
    image: string;
    size_wh: [number, number];
    params: {
      a: number;
      s: number;
      shx: number;
      shy: number;
      tx: number;
      ty: number;
      px?: number;
      py?: number;
    };
    M_fp32: number[][];
    output: string;
    boxes_in_xyxy: Rectangle[];
    boxes_warped_xyxy: Rectangle[];
    kept_index: number[];
    boxes_out_clipped_xyxy: Rectangle[];
  }[];
  box_candidates: {
    box1_xyxy: Rectangle[];
    box2_xyxy: Rectangle[];
    'area_thr_0.10': number[];
    'area_thr_0.01': number[];
  };
  hsv: {
    image: string;
    r: HsvFactors;
    'out_8.3.79_and_later': string;
    'out_up_to_8.3.78': string;
    lut_hue_new: number[];
    lut_hue_old: number[];
    lut_sat: number[];
    lut_val: number[];
  }[];
  mosaic: {
    s: number;
    centre_xy: [number, number];
    images: string[];
    tile_hw: [number, number][];
    tiles: { canvas_xyxy: Rectangle; tile_xyxy: Rectangle; pad_wh: [number, number] }[];
    output: string;
    boxes_xyxy_of_full_tile_0_9?: never;
    'boxes_xyxy_of_full_tile_0.9': Rectangle[];
  }[];
}

const golden = readFixture<Golden>('augment.json');
const tensors = readTensors('augment.safetensors.gz');
const { imageLetterbox } = native();

/** The uint8 tensors of a gzipped safetensors file, as images with red first. */
function readTensors(name: string): Map<string, Raster> {
  const file = gunzipSync(readFileSync(new URL(`../../test/fixtures/${name}`, import.meta.url)));
  const length = Number(file.readBigUInt64LE());
  type Entry = { shape: [number, number, number]; data_offsets: [number, number] };
  const header = JSON.parse(file.toString('utf8', 8, 8 + length)) as Record<string, Entry>;
  const rasters = new Map<string, Raster>();
  for (const [key, entry] of Object.entries(header)) {
    if (key === '__metadata__') continue;
    const [height, width, channels] = entry.shape;
    const [start, end] = entry.data_offsets;
    const data = new Uint8Array(file.subarray(8 + length + start, 8 + length + end));
    const raster = { data, width, height, channels };
    rasters.set(key, key.includes('hsv_in') && !key.endsWith('bgr') ? raster : redFirst(raster));
  }
  rasters.set('hsv.table.hsv', redFirst(rasters.get('hsv.table.hsv')!));
  rasters.set('hsv.0.hsv', redFirst(rasters.get('hsv.0.hsv')!));
  return rasters;
}

function redFirst(image: Raster): Raster {
  if (image.channels !== 3) return image;
  const data = Uint8Array.from(image.data);
  for (let i = 0; i < data.length; i += 3) [data[i], data[i + 2]] = [data[i + 2]!, data[i]!];
  return { ...image, data };
}

function tensor(key: string): Raster {
  const raster = tensors.get(key);
  assert.ok(raster, `no tensor ${key}`);
  return raster;
}

const image = (name: string) => tensor(`img.${name}`);

/** A one-channel image with its channel three times, as the native functions take it. */
function threeChannels(raster: Raster): Raster {
  if (raster.channels === 3) return raster;
  const data = new Uint8Array(raster.data.length * 3);
  for (const [i, level] of raster.data.entries()) data.fill(level, 3 * i, 3 * i + 3);
  return { ...raster, data, channels: 3 };
}

function assertClose(actual: Raster, expected: Raster, most: number, mean: number): void {
  assert.deepEqual([actual.height, actual.width], [expected.height, expected.width]);
  const wanted = actual.channels === expected.channels ? expected : threeChannels(expected);
  assert.equal(actual.data.length, wanted.data.length);
  let sum = 0;
  let worst = 0;
  for (const [i, level] of wanted.data.entries()) {
    const distance = Math.abs(actual.data[i]! - level);
    worst = Math.max(worst, distance);
    sum += distance;
  }
  assert.ok(worst <= most, `largest difference ${worst} levels`);
  assert.ok(sum / wanted.data.length <= mean, `mean difference ${sum / wanted.data.length} levels`);
}

function assertNear(actual: readonly number[], expected: readonly number[], tolerance: number): void {
  assert.equal(actual.length, expected.length);
  for (const [i, value] of expected.entries()) {
    assert.ok(Math.abs(actual[i]! - value) <= tolerance, `[${i}]: ${actual[i]} instead of ${value}`);
  }
}

async function resizeLinear(raster: Raster, size: Size): Promise<Raster> {
  const source = threeChannels(raster);
  const out = blankRaster(size.width, size.height, 3, 0);
  await imageLetterbox(out.data, resizeJob(source, size), source.data);
  return out;
}

describe('letterbox', () => {
  for (const row of golden.letterbox) {
    it(row.output, async () => {
      const source = threeChannels(image(row.image));
      const [height, width] =
        typeof row.new_shape === 'number' ? [row.new_shape, row.new_shape] : row.new_shape;
      const options = { auto: row.auto, scaleFill: row.scale_fill, scaleUp: row.scaleup, center: row.center };
      const box = letterbox(source, { width, height }, options);
      const { top, bottom, left, right, ratio } = row;
      const expected: Letterbox = {
        ratio,
        width: row.new_unpad_wh[0],
        height: row.new_unpad_wh[1],
        left,
        top,
        right,
        bottom,
      };
      assert.deepEqual(box, expected);
      const out = blankRaster(left + box.width + right, top + box.height + bottom, 3, 0);
      await imageLetterbox(out.data, letterboxJob(source, box, out, 3), source.data);
      assertClose(out, tensor(row.output), 1, 0.1);
    });
  }
});

describe('resize', () => {
  for (const row of golden.resize) {
    it(row.output, async () => {
      const [width, height] = row.dsize_wh;
      if (row.interpolation === 'nearest') {
        assertClose(resizeNearest(image(row.image), { width, height }), tensor(row.output), 0, 0);
      } else {
        assertClose(await resizeLinear(image(row.image), { width, height }), tensor(row.output), 1, 0.1);
      }
    });
  }
  it('brings the long side to the image size', () => {
    for (const { w0, h0, imgsz, w, h } of golden.load_resize) {
      assert.deepEqual(fitLongSide({ width: w0, height: h0 }, imgsz), { width: w, height: h });
    }
  });
});

describe('affine', () => {
  for (const row of golden.affine) {
    const { a, s, shx, shy, tx, ty, px = 0, py = 0 } = row.params;
    const source = image(row.image);
    const [width, height] = row.size_wh;
    const m = affineMatrix(
      {
        ...NO_AFFINE,
        angle: a,
        scale: s,
        shearX: shx,
        shearY: shy,
        translateX: tx,
        translateY: ty,
        perspectiveX: px,
        perspectiveY: py,
      },
      source,
      { width, height },
    );
    it(`${row.name}: matrix and pixels`, () => {
      assertNear(m, row.M_fp32.flat(), 1e-4);
      const golden = row.M_fp32.flat() as unknown as Matrix;
      assertClose(warpImage(source, golden, { width, height }, BORDER), tensor(row.output), 2, 0.1);
    });
    it(`${row.name}: boxes`, () => {
      const kept: number[] = [];
      const clipped: Rectangle[] = [];
      for (const [i, box] of row.boxes_in_xyxy.entries()) {
        const warped = warpBox(box, m);
        assertNear(warped, row.boxes_warped_xyxy[i]!, 1e-4);
        const after = clipBox(warped, { width, height });
        if (!keepBox(box.map((x) => x * s) as unknown as Rectangle, after)) continue;
        kept.push(i);
        clipped.push(after);
      }
      assert.deepEqual(kept, row.kept_index);
      for (const [i, box] of clipped.entries()) assertNear(box, row.boxes_out_clipped_xyxy[i]!, 1e-4);
    });
  }
  it('filters boxes by side, area and aspect ratio', () => {
    const { box1_xyxy, box2_xyxy } = golden.box_candidates;
    for (const threshold of ['0.10', '0.01'] as const) {
      const kept = box1_xyxy.map((box, i) => (keepBox(box, box2_xyxy[i]!, Number(threshold)) ? 1 : 0));
      assert.deepEqual(kept, golden.box_candidates[`area_thr_${threshold}`]);
    }
  });
});

describe('hsv', () => {
  for (const row of golden.hsv) {
    it(`factors ${row.r.join(' ')}`, () => {
      const additive = hsvTables(row.r);
      const multiplicative = hsvTables(row.r, 'multiplicative');
      assert.deepEqual(Array.from(additive.hue), row.lut_hue_new);
      assert.deepEqual(Array.from(multiplicative.hue), row.lut_hue_old);
      assert.deepEqual(Array.from(additive.saturation), row.lut_sat);
      assert.deepEqual(Array.from(additive.value), row.lut_val);
      for (const [tables, key] of [
        [additive, row['out_8.3.79_and_later']],
        [multiplicative, row['out_up_to_8.3.78']],
      ] as const) {
        const source = image(row.image);
        const out = { ...source, data: Uint8Array.from(source.data) };
        jitterHsv(out, tables);
        assertClose(out, tensor(key), 1, 0.1);
      }
    });
  }
  it('converts 4096 colours to HSV and back', () => {
    const [rgb, hsv] = [tensor('hsv.table.bgr'), tensor('hsv.table.hsv')];
    const [hsvIn, back] = [tensor('hsv.table.hsv_in'), tensor('hsv.table.hsv_in_to_bgr')];
    const out = { ...hsv, data: new Uint8Array(hsv.data.length) };
    const outBack = { ...back, data: new Uint8Array(back.data.length) };
    for (let p = 0; p < rgb.data.length; p += 3) {
      out.data.set(rgbToHsv(rgb.data[p]!, rgb.data[p + 1]!, rgb.data[p + 2]!), p);
      outBack.data.set(hsvToRgb(hsvIn.data[p]!, hsvIn.data[p + 1]!, hsvIn.data[p + 2]!), p);
    }
    assertClose(out, hsv, 1, 0.1);
    assertClose(outBack, back, 1, 0.1);
  });
  it('converts a photograph to HSV and to luma', () => {
    const source = image('a');
    const out = { ...source, data: Uint8Array.from(source.data) };
    for (let p = 0; p < out.data.length; p += 3) {
      out.data.set(rgbToHsv(out.data[p]!, out.data[p + 1]!, out.data[p + 2]!), p);
    }
    assertClose(out, tensor('hsv.0.hsv'), 1, 0.1);
    assertClose(toGray(source), tensor('gray.a'), 1, 0.1);
  });
});

describe('mosaic', () => {
  for (const row of golden.mosaic) {
    it(row.output, async () => {
      const { s } = row;
      const canvas = blankRaster(2 * s, 2 * s, 3, BORDER);
      const boxes: Rectangle[] = [];
      for (const [i, name] of row.images.entries()) {
        const scaled = await resizeLinear(image(name), fitLongSide(image(name), s));
        assert.deepEqual([scaled.height, scaled.width], row.tile_hw[i]);
        const { canvas: place, tile, pad } = mosaicTile(i, row.centre_xy, s, scaled);
        assert.deepEqual({ canvas_xyxy: place, tile_xyxy: tile, pad_wh: pad }, row.tiles[i]);
        paste(canvas, scaled, tile, place[0], place[1]);
        const label = Float32Array.of(0, 0.5, 0.5, 0.9, 0.9);
        boxes.push(...canvasBoxes(label, scaled, pad, canvas).map(({ box }) => box));
      }
      assertClose(canvas, tensor(row.output), 1, 0.1);
      for (const [i, box] of row['boxes_xyxy_of_full_tile_0.9'].entries()) assertNear(boxes[i]!, box, 1e-4);
      assert.equal(boxes.length, row['boxes_xyxy_of_full_tile_0.9'].length);
    });
  }
});
