import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { parseLabels } from '../src/data/label-file.ts';
import { labelPath } from '../src/data/label-source.ts';

describe('parseLabels', () => {
  it('reads boxes, blank lines and Windows line ends', () => {
    assert.deepEqual(parseLabels('0 0.5 0.5 0.2 0.1\r\n\n 2  0.25 0.75 0.5 0.5 \n', 3), {
      rows: [0, 0.5, 0.5, 0.2, 0.1, 2, 0.25, 0.75, 0.5, 0.5],
      leftOut: [],
    });
    assert.deepEqual(parseLabels('', 3), { rows: [], leftOut: [] });
  });
  it('turns polygons into the boxes around them, beside box rows', () => {
    const text = '1 0.25 0.5 0.75 0.25 0.5 0.75\n0 0.5 0.5 0.5 0.5\n';
    assert.deepEqual(parseLabels(text, 2), {
      rows: [1, 0.5, 0.5, 0.5, 0.5, 0, 0.5, 0.5, 0.5, 0.5],
      leftOut: [],
    });
  });
  it('leaves out repeated rows and boxes without area, and counts them', () => {
    const text = '0 .5 .5 .1 .1\n0 0.50 .5 .1 .1\n1 .5 .5 .1 .1\n0 .5 .5 0 .1\n';
    assert.deepEqual(parseLabels(text, 2), {
      rows: [0, 0.5, 0.5, 0.1, 0.1, 1, 0.5, 0.5, 0.1, 0.1],
      leftOut: [
        { what: 'repeated label', line: 2 },
        { what: 'box without area', line: 4 },
      ],
    });
  });
  it('accepts coordinates a hundredth outside the image', () => {
    assert.deepEqual(parseLabels('0 1.01 -0.01 0.5 0.5', 1), {
      rows: [0, 1.01, -0.01, 0.5, 0.5],
      leftOut: [],
    });
  });
  const good = '0 0.5 0.5 0.2 0.1\n';
  const bad: [row: string, reason: string][] = [
    ['0 0.5 0.5 0.2', "4 columns, where 'class cx cy w h' or 'class x1 y1 x2 y2 x3 y3 …' is expected"],
    ['0', "1 column, where 'class cx cy w h' or 'class x1 y1 x2 y2 x3 y3 …' is expected"],
    ['0 .1 .1 .2 .2 .3', "6 columns, where 'class cx cy w h' or 'class x1 y1 x2 y2 x3 y3 …' is expected"],
    [
      '0 .1 .1 .2 .2 .3 .3 .4',
      "8 columns, where 'class cx cy w h' or 'class x1 y1 x2 y2 x3 y3 …' is expected",
    ],
    ['0 0.5 abc 0.2 0.1', "'abc' is not a number"],
    ['0 0.5 nan 0.2 0.1', "'nan' is not a number"],
    ['0.5 0.5 0.5 0.2 0.1', 'class 0.5 is not a whole number'],
    ['3 0.5 0.5 0.2 0.1', 'class 3 is out of range: data.yaml has 3 (0 … 2)'],
    ['-1 0.5 0.5 0.2 0.1', 'class -1 is out of range: data.yaml has 3 (0 … 2)'],
    ['0 1.5 0.5 0.2 0.1', '1.5 is outside 0 … 1: coordinates are fractions of the image'],
    ['0 0.5 0.5 320 100', '320 is outside 0 … 1: coordinates are fractions of the image'],
    ['0 0.5 -0.02 0.2 0.1', '-0.02 is outside 0 … 1: coordinates are fractions of the image'],
  ];
  for (const [row, reason] of bad) {
    it(`refuses '${row}'`, () =>
      assert.deepEqual(parseLabels(`${good}\n${row}\n${good}`, 3), { line: 3, reason }));
  }
});

describe('labelPath', () => {
  it("replaces the last folder 'images' and the suffix", () => {
    assert.equal(labelPath('/d/images/images/train/a.b.jpg'), '/d/images/labels/train/a.b.txt');
    assert.equal(labelPath('/d/my_images/a.png'), '/d/my_images/a.txt');
    assert.equal(labelPath('/d/images/a'), '/d/labels/a.txt');
  });
});
