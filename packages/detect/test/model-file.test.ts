import assert from 'node:assert/strict';
import { writeFileSync } from 'node:fs';
import path from 'node:path';
import { test } from 'node:test';
import { scope } from '@mezzo/torch';
import { buildModel } from '../src/models/build.ts';
import { ModelError } from '../src/models/errors.ts';
import { readModelFile } from '../src/models/model-file.ts';
import { profileModel } from '../src/models/profile.ts';
import { scratchFolder } from './scratch.ts';

const folder = scratchFolder();

function file(text: string, name = 'mine.yaml'): string {
  const full = path.join(folder, name);
  writeFileSync(full, text);
  return full;
}

/** YOLOv5's form, as in its own model files; widths and depths of the size n. */
const V5 = `# YOLOv5
nc: 80
depth_multiple: 0.33
width_multiple: 0.25
anchors:
  - [10,13, 16,30, 33,23]
  - [30,61, 62,45, 59,119]
  - [116,90, 156,198, 373,326]
backbone:
  [[-1, 1, Conv, [64, 6, 2, 2]],
   [-1, 1, Conv, [128, 3, 2]],
   [-1, 3, C3, [128]],
   [-1, 1, Conv, [256, 3, 2]],
   [-1, 6, C3, [256]],
   [-1, 1, Conv, [512, 3, 2]],
   [-1, 9, C3, [512]],
   [-1, 1, Conv, [1024, 3, 2]],
   [-1, 3, C3, [1024]],
   [-1, 1, SPPF, [1024, 5]],
  ]
head:
  [[-1, 1, Conv, [512, 1, 1]],
   [-1, 1, nn.Upsample, [None, 2, 'nearest']],
   [[-1, 6], 1, Concat, [1]],
   [-1, 3, C3, [512, False]],
   [-1, 1, Conv, [256, 1, 1]],
   [-1, 1, nn.Upsample, [None, 2, 'nearest']],
   [[-1, 4], 1, Concat, [1]],
   [-1, 3, C3, [256, False]],
   [-1, 1, Conv, [256, 3, 2]],
   [[-1, 14], 1, Concat, [1]],
   [-1, 3, C3, [512, False]],
   [-1, 1, Conv, [512, 3, 2]],
   [[-1, 10], 1, Concat, [1]],
   [-1, 3, C3, [1024, False]],
   [[17, 20, 23], 1, Detect, [nc, anchors]],
  ]
`;

test("a file in YOLOv5's form gives its network, for any number of channels and classes", () => {
  scope(() => {
    const table = readModelFile(file(V5, 'custom.yaml'));
    assert.equal(profileModel(buildModel(table)).params, 1_872_157);
    const grey = buildModel(table, { nc: 1, ch: 1 });
    assert.equal(profileModel(grey).params, 1_765_270 - 2 * 16 * 6 * 6);
    const many = buildModel(table, { nc: 1, ch: 10 });
    assert.deepEqual(many.stateDict()['model.0.conv.weight']!.shape, [16, 10, 6, 6]);
  });
});

test('what is wrong with a file is told with its line', () => {
  const cases: [text: string, message: string][] = [
    [V5.replace('9, C3,', '9, C3x,'), ":16: layer 6: unknown module 'C3x'; did you mean 'C3'?"],
    [V5.replace('[[-1, 14]', '[[-1, 99]'), ":31: layer 19: 'from' 99 is not an earlier layer"],
    [V5.replace('nc: 80', 'nc: many'), ':2: model table: \'nc\' must be a positive integer, got "many"'],
    [
      V5.replace('depth_multiple', 'depth_multiplier'),
      ":3: model table: unknown key 'depth_multiplier'; did you mean 'depth_multiple' or 'width_multiple'?",
    ],
    [
      V5.replace('  - [30,61, 62,45, 59,119]\n', ''),
      ':35: layer 24 (Detect): anchors of 2 levels for 3 inputs',
    ],
    [
      V5.replace('116,90, 156,198, 373,326', '116,90, 156,198'),
      ":36: layer 24 (Detect): argument 'anchors' must be a list of widths and heights in pixels for each level, got [[10,13,16,30,33,23],[30,61,62,45,59,119],[116,90,156,198]]",
    ],
    ['- 1\n- 2\n', ': a model description has the keys backbone and head'],
    [
      V5.replace('width_multiple: 0.25', 'width_multiple: wide'),
      ":4: model table: 'depth_multiple', 'width_multiple' and 'max_channels' must be numbers above 0",
    ],
    [
      `a: &a [${'x, '.repeat(20)}]\nb: &b [${'*a, '.repeat(20)}]\nc: [${'*b, '.repeat(20)}]\n`,
      ': not a YAML file: Excessive alias count indicates a resource exhaustion attack',
    ],
  ];
  for (const [text, message] of cases) {
    const name = file(text);
    assert.throws(
      () => readModelFile(name),
      (error) => {
        assert.ok(error instanceof ModelError);
        assert.equal(error.code, 'BAD_MODEL');
        assert.equal(error.message, `${name}${message}`);
        return true;
      },
    );
  }
  const broken = file('nc: [1\nhead: 2\n');
  assert.throws(() => readModelFile(broken), {
    code: 'BAD_MODEL',
    message: /mine\.yaml:\d: not a YAML file: /,
  });
});
