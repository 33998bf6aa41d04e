import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import fc from 'fast-check';
import sharp from 'sharp';
import { svgBoxes } from '../src/plots/boxes.ts';
import { drawableNames } from '../src/plots/class-names.ts';
import { GLYPHS } from '../src/plots/glyphs.ts';
import { labelPlaces } from '../src/plots/label-places.ts';
import { classColor, readableOn } from '../src/plots/palette.ts';
import { svgDocument } from '../src/plots/svg.ts';
import { fitText, svgText, textWidth } from '../src/plots/text.ts';

/** Columns and rows that a black text on white touches, in pixels. */
async function inkBounds(svg: string): Promise<{ left: number; right: number; top: number; bottom: number }> {
  const { data, info } = await sharp(Buffer.from(svgDocument(400, 100, svg)))
    .greyscale()
    .raw()
    .toBuffer({ resolveWithObject: true });
  const bounds = { left: Infinity, right: -Infinity, top: Infinity, bottom: -Infinity };
  for (let i = 0; i < data.length; i += info.channels) {
    if (data[i]! > 128) continue;
    const x = (i / info.channels) % info.width;
    const y = Math.floor(i / info.channels / info.width);
    bounds.left = Math.min(bounds.left, x);
    bounds.right = Math.max(bounds.right, x);
    bounds.top = Math.min(bounds.top, y);
    bounds.bottom = Math.max(bounds.bottom, y);
  }
  return bounds;
}

describe('the stroke font', () => {
  it('has every printable ASCII character', () => {
    const printable = Array.from({ length: 95 }, (_, i) => String.fromCharCode(32 + i));
    assert.deepEqual(
      printable.filter((character) => GLYPHS[character] === undefined),
      [],
    );
  });

  it('draws every character differently', () => {
    const drawn = Object.keys(GLYPHS).map((character) =>
      svgText(character, 0, 0, { size: 20, color: '#000000' }),
    );
    assert.equal(new Set(drawn).size, drawn.length);
  });

  it('is as wide as it says, and stands on its baseline', async () => {
    const style = { size: 40, color: '#000000' };
    for (const text of ['Hamburg', '0.5', 'mAP50-95(B)']) {
      const width = textWidth(text, 40);
      const start = await inkBounds(svgText(text, 20, 60, style));
      assert.ok(
        Math.abs(start.left - 20) <= 3 && Math.abs(start.right - 20 - width) <= 3,
        `${text}: ${start.right}`,
      );
      const end = await inkBounds(svgText(text, 380, 60, { ...style, anchor: 'end' }));
      assert.ok(Math.abs(end.right - 380) <= 3, `${text}: ${end.right}`);
      const middle = await inkBounds(svgText(text, 200, 60, { ...style, anchor: 'middle' }));
      assert.ok(Math.abs(middle.left + middle.right - 400) <= 6, `${text}: ${middle.left} ${middle.right}`);
    }
    const capitals = await inkBounds(svgText('HEX', 20, 60, style));
    assert.ok(Math.abs(capitals.top - 32) <= 2 && Math.abs(capitals.bottom - 60) <= 2);
  });

  it('leaves accents off and shows what it lacks as a box', () => {
    const style = { size: 20, color: '#000000' };
    assert.equal(svgText('é–ß', 0, 0, style), svgText('e-ss', 0, 0, style));
    assert.equal(svgText('語', 0, 0, style), svgText('人', 0, 0, style));
    assert.notEqual(svgText('語', 0, 0, style), '');
  });

  it('writes nothing that ends an SVG attribute', () => {
    const svg = svgText('"><script>&lt;', 0, 0, { size: 20, color: '#000000' });
    assert.match(svg, /^<path [^<>&]*\/>$/);
  });
});

describe('drawableNames', () => {
  it('numbers the classes whose names the font cannot write', () => {
    assert.deepEqual(drawableNames(['cat', 'Größe', '細胞', '', 'клетка']), [
      'cat',
      'Größe',
      'class 2',
      'class 3',
      'class 4',
    ]);
  });
});

describe('fitText', () => {
  it('never exceeds the width, and changes nothing that fits', () => {
    fc.assert(
      fc.property(fc.string({ maxLength: 40 }), fc.integer({ min: 0, max: 300 }), (text, width) => {
        const fitted = fitText(text, 14, width);
        assert.ok(textWidth(fitted, 14) <= width);
        if (textWidth(text, 14) <= width) assert.equal(fitted, text);
      }),
    );
  });
});

describe('colours', () => {
  it('are readable under their text', () => {
    const luminance = (color: string) => {
      const [r, g, b] = [1, 3, 5].map((at) => {
        const c = Number.parseInt(color.slice(at, at + 2), 16) / 255;
        return c <= 0.04045 ? c / 12.92 : ((c + 0.055) / 1.055) ** 2.4;
      });
      return 0.2126 * r! + 0.7152 * g! + 0.0722 * b!;
    };
    for (let id = 0; id < 20; id++) {
      const [a, b] = [luminance(classColor(id)), luminance(readableOn(classColor(id)))];
      assert.ok((Math.max(a, b) + 0.05) / (Math.min(a, b) + 0.05) >= 4.5, classColor(id));
    }
  });

  it('are all different, and repeat after twenty classes', () => {
    assert.equal(new Set(Array.from({ length: 20 }, (_, id) => classColor(id))).size, 20);
    assert.equal(classColor(20), classColor(0));
  });
});

describe('svgBoxes', () => {
  it('keeps every box and label inside the image', () => {
    const area = { width: 160, height: 120 };
    const coordinate = fc.double({ min: -20, max: 180, noNaN: true });
    const corner = fc.tuple(coordinate, coordinate);
    fc.assert(
      fc.property(corner, corner, fc.string({ maxLength: 30 }), ([x1, y1], [x2, y2], label) => {
        const xyxy = [Math.min(x1, x2), Math.min(y1, y2), Math.max(x1, x2), Math.max(y1, y2)] as const;
        const svg = svgBoxes([{ xyxy, cls: 3, label }], area);
        for (const [, ...numbers] of svg.matchAll(
          /<rect x="(\S+)" y="(\S+)" width="(\S+)" height="(\S+)"/g,
        )) {
          const [x, y, width, height] = numbers.map(Number) as [number, number, number, number];
          assert.ok(x >= 0 && y >= 0 && width >= 0 && height >= 0, svg);
          assert.ok(x + width <= area.width + 0.02 && y + height <= area.height + 0.02, svg);
        }
      }),
    );
  });

  it('gives every label a place of its own, and leaves out those that find none when asked', () => {
    const area = { width: 300, height: 300 };
    const boxes = Array.from({ length: 40 }, (_, i) => ({
      xyxy: [100 + i, 100 + i, 150 + i, 150 + i] as const,
      cls: i % 2,
      label: `some class ${i}`,
    }));
    const size = { width: 90, height: 15 };
    const places = labelPlaces(
      boxes,
      boxes.map(() => size),
      area,
    );
    const placed = places.filter((place) => place !== null);
    assert.ok(placed.length > 4 && placed.length < 40);
    for (const [i, a] of placed.entries()) {
      for (const b of placed.slice(i + 1)) {
        assert.ok(Math.abs(a.x - b.x) >= size.width || Math.abs(a.y - b.y) >= size.height);
      }
    }
    const labels = (crowded: 'overlap' | 'omit') =>
      svgBoxes(boxes, area, { crowded, fontSize: 12 }).split(' rx="').length - 1;
    assert.equal(labels('overlap'), 40);
    assert.ok(labels('omit') < 40);
  });

  it('names each class at least once, also where labels are left out', () => {
    const xyxy = [0, 0, 10, 10] as const;
    const boxes = Array.from({ length: 9 }, (_, i) => ({ xyxy, cls: i % 3, label: 'a label' }));
    const svg = svgBoxes(boxes, { width: 60, height: 16 }, { crowded: 'omit', fontSize: 12 });
    for (const id of [0, 1, 2]) assert.ok(svg.includes(`rx="1.8" fill="${classColor(id)}"`), String(id));
  });

  it('a label hides no small box when there is room elsewhere', () => {
    const label = 'label';
    const [low, high] = [
      { xyxy: [50, 60, 80, 80] as const, cls: 0, label },
      { xyxy: [52, 48, 58, 54] as const, cls: 1 },
    ];
    const [place] = labelPlaces([low, high], [{ width: 40, height: 15 }, null], { width: 200, height: 200 });
    assert.deepEqual(place, { x: 50, y: 80, width: 40, height: 15 });
  });

  it('draws the first box on top', () => {
    const box = { xyxy: [10, 40, 90, 90] as const, label: 'a' };
    const svg = svgBoxes(
      [
        { ...box, cls: 0 },
        { ...box, cls: 1 },
      ],
      { width: 200, height: 200 },
    );
    assert.ok(svg.lastIndexOf(classColor(0)) > svg.lastIndexOf(classColor(1)));
  });
});
