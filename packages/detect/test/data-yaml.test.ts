import assert from 'node:assert/strict';
import { mkdirSync } from 'node:fs';
import path from 'node:path';
import { describe, it } from 'node:test';
import { readDataYaml } from '../src/data/data-yaml.ts';
import { DataError } from '../src/data/errors.ts';
import { scratchFolder, write } from './scratch.ts';

const folder = scratchFolder();
for (const name of [
  'images/train',
  'images/val',
  'images/test',
  'sets/other/images/train',
  'sets/other/images/val',
]) {
  mkdirSync(path.join(folder, name), { recursive: true });
}
write(folder, 'train.txt', './images/train/a.jpg\n');

const NAMES = 'names: [cat, dog]\n';
const yaml = (name: string, text: string) => write(folder, name, text);
const at = (name: string) => path.join(folder, name);

describe('readDataYaml', () => {
  it('reads folders, a list of names, and the optional test split', async () => {
    const file = yaml('plain.yaml', `train: images/train\nval: images/val\ntest: images/test\n${NAMES}`);
    assert.deepEqual(await readDataYaml(file), {
      file,
      splits: { train: [at('images/train')], val: [at('images/val')] },
      names: ['cat', 'dog'],
      channels: null,
    });
    const { splits } = await readDataYaml(file, { splits: ['test'] });
    assert.deepEqual(splits, { test: [at('images/test')] });
  });

  it('reads lists, .txt files, numbered names, channels, and validation for val', async () => {
    const text =
      'path: .\ntrain: [images/train, train.txt]\nvalidation: images/val\nchannels: 1\nnames:\n  1: dog\n  0: 3\n';
    const { splits, names, channels } = await readDataYaml(yaml('lists.yaml', text));
    assert.deepEqual(splits, { train: [at('images/train'), at('train.txt')], val: [at('images/val')] });
    assert.deepEqual(names, ['3', 'dog']);
    assert.equal(channels, 1);
  });

  it('names classes by number when only nc is given', async () => {
    const { names } = await readDataYaml(yaml('nc.yaml', 'train: images/train\nval: images/val\nnc: 2\n'));
    assert.deepEqual(names, ['class0', 'class1']);
  });

  it('resolves path against the folder of the yaml, then datasets_dir', async () => {
    const file = yaml('elsewhere.yaml', `path: other\ntrain: images/train\nval: images/val\n${NAMES}`);
    const { splits } = await readDataYaml(file, { datasetsDir: at('sets') });
    assert.deepEqual(splits.train, [at('sets/other/images/train')]);
  });

  it('finds the yaml itself in datasets_dir', async () => {
    write(folder, 'sets/other.yaml', `path: other\ntrain: images/train\nval: images/val\n${NAMES}`);
    const { file } = await readDataYaml('other.yaml', { datasetsDir: at('sets'), cwd: at('images') });
    assert.equal(file, at('sets/other.yaml'));
  });

  it("understands ../train/images beside a yaml that lies next to 'train'", async () => {
    mkdirSync(at('export/train/images'), { recursive: true });
    mkdirSync(at('export/valid/images'), { recursive: true });
    const text = `train: ../train/images\nval: ../valid/images\n${NAMES}`;
    const { splits } = await readDataYaml(write(folder, 'export/data.yaml', text));
    assert.deepEqual(splits.train, [at('export/train/images')]);
  });
});

describe('a bad data.yaml', () => {
  const hintNew =
    'Mezzo downloads no data sets: give the path of a data.yaml on this machine, or generate a set with `mezzo data shapes --out DIR`';
  const hintSources =
    'write a folder, a .txt list of images, a COCO .json file, `{annotations: …, images: …}`, or a list of these';
  const hintPath = "correct the path, or set 'datasets_dir' to the folder that holds your data sets";
  const hintNeeds = "it needs 'train:', 'val:' and 'names:', for example `train: images/train`";
  const hintNames = 'write `names: [cat, dog]`, or one `0: cat` a line';
  const splits = 'train: images/train\nval: images/val\n';

  it('that is not on disk lists the places searched and the way on', async () => {
    const expected = {
      code: 'BAD_DATA',
      message: `there is no data set 'coco8.yaml'; searched: ${at('coco8.yaml')}, ${at('sets/coco8.yaml')}`,
      hint: hintNew,
    };
    await assert.rejects(readDataYaml('coco8.yaml', { cwd: folder, datasetsDir: at('sets') }), expected);
  });

  const ALIASES = ['a', 'b', 'c', 'd']
    .map((name, i) => `${'bcde'[i]}: &${'bcde'[i]} [${new Array(9).fill(`*${name}`).join(', ')}]\n`)
    .join('');
  const cases: [name: string, text: string, message: string, hint: string][] = [
    [
      'syntax',
      'train: [a\nval: b\n',
      ':2: Flow sequence in block collection must be sufficiently indented and end with a ]',
      'correct the YAML syntax there',
    ],
    ['text', 'hello\n', ":1: a data.yaml holds lines of the form 'key: value'", hintNeeds],
    ['no-names', splits, ": neither 'names' nor 'nc' is given", hintNeeds],
    [
      'names-text',
      `${splits}names: cat\n`,
      ':3: names is "cat", neither a list nor numbered names',
      hintNames,
    ],
    [
      'names-gap',
      `${splits}names: {0: a, 2: b}\n`,
      ":3: class id '2' among 2 names: ids are 0, 1, 2, …",
      hintNames,
    ],
    ['names-none', `${splits}names: []\n`, ':3: there is no class name', hintNeeds],
    ['nc', `${splits}nc: 3\n${NAMES}`, ':3: nc is 3, but there are 2 names', "correct it, or leave 'nc' out"],
    [
      'nc-text',
      `${splits}nc: many\n`,
      ':3: nc is "many", not a number of classes',
      'write a whole number above 0',
    ],
    [
      'channels',
      `${splits}${NAMES}channels: RGB\n`,
      ':4: channels is "RGB", not a number of channels from 1 to 1024',
      'write `channels: 3` (colour), `channels: 1` (grey), or how many the images have',
    ],
    ['no-val', `train: images/train\n${NAMES}`, ": there is no 'val:'", hintNeeds],
    ['split-number', `train: 5\nval: images/val\n${NAMES}`, ":1: 'train' is 5, not a path", hintSources],
    ['split-empty', `train: []\nval: images/val\n${NAMES}`, ":1: 'train' is an empty list", hintNeeds],
    [
      'split-missing',
      `${NAMES}train: images/trian\nval: images/val\n`,
      `:2: 'train' names 'images/trian', which does not exist; searched: ${at('images/trian')}`,
      `there is ${at('images/train')}; ${hintPath}`,
    ],
    [
      'name-map',
      `${splits}names: [cat, {a: 1}]\n`,
      ':3: {"a":1} is no class name',
      'write one word or number a class',
    ],
    [
      'aliases',
      `${splits}${NAMES}a: &a [1, 2, 3, 4, 5, 6, 7, 8, 9]\n${ALIASES}`,
      ': Excessive alias count indicates a resource exhaustion attack',
      'write the values out in place of aliases',
    ],
    [
      'split-key',
      `${NAMES}train: {annotation: a.json}\nval: images/val\n`,
      ":2: 'train' has an unknown key 'annotation'",
      hintSources,
    ],
    [
      'split-images',
      `${NAMES}train: {images: images/train}\nval: images/val\n`,
      ':2: \'train\' is {"images":"images/train"}, without a path in \'annotations\'',
      hintSources,
    ],
    [
      'path-number',
      `path: 5\n${splits}${NAMES}`,
      ':1: path is 5, not a folder',
      'write the folder of the data set',
    ],
    [
      'path-missing',
      `# a set\npath: coco\n${splits}${NAMES}`,
      `:2: there is no folder 'coco'; searched: ${at('coco')}`,
      hintPath,
    ],
    [
      'download',
      `path: coco\ndownload: exit(1)\n${splits}${NAMES}`,
      `:1: there is no folder 'coco'; searched: ${at('coco')}`,
      `the 'download:' of this file is never executed: fetch the data set yourself, or ${hintPath}`,
    ],
  ];
  for (const [name, text, message, hint] of cases) {
    it(name, async () => {
      const file = yaml(`bad-${name}.yaml`, text);
      await assert.rejects(readDataYaml(file), (error) => {
        assert.ok(error instanceof DataError);
        assert.deepEqual(
          { code: error.code, message: error.message, hint: error.hint },
          { code: 'BAD_DATA', message: `${file}${message}`, hint },
        );
        return true;
      });
    });
  }

  it('that is a folder', async () => {
    const expected = {
      message: `cannot read ${at('images')}: it is a folder`,
      hint: 'give the data.yaml inside it',
    };
    await assert.rejects(readDataYaml(at('images')), expected);
  });
});
