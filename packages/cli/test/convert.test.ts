import assert from 'node:assert/strict';
import { mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { basename, dirname, join } from 'node:path';
import { after, before, test } from 'node:test';
import {
  buildModel,
  convertPtToSafetensors,
  generateShapes,
  readDataYaml,
  scanSplit,
  YOLO,
} from '@mezzo/detect';
import { savePt } from '@mezzo/torch';
import { mezzo } from './mezzo.ts';

const folder = mkdtempSync(join(tmpdir(), 'mezzo-convert-'));
after(() => rmSync(folder, { recursive: true }));
const at = (name: string) => join(folder, name);

before(() => savePt(at('net.pt'), buildModel('yolov8n', { nc: 2 }).stateDict()));

test('a .pt file becomes safetensors beside it, that every command takes; once more needs exist_ok', async () => {
  const { code, stdout } = await mezzo(['convert', 'net.pt'], {}, folder);
  assert.deepEqual([code, stdout], [0, 'net.safetensors: 355 tensors of yolov8n, 2 classes, 12 MB\n']);
  assert.deepEqual((await YOLO.load(at('net.safetensors'))).names, ['0', '1']);
  const again = await mezzo(['convert', 'net.pt'], {}, folder);
  assert.deepEqual(again, {
    code: 2,
    stdout: '',
    stderr:
      'error: net.safetensors is there already\nhint:  exist_ok=true writes over it; --out names another file\n',
  });
  const json = await mezzo(['convert', 'net.pt', '--exist-ok', '--json'], {}, folder);
  assert.deepEqual(JSON.parse(json.stdout), {
    ...{ from: 'net.pt', to: 'net.safetensors', model: 'yolov8n', names: ['0', '1'], tensors: 355 },
    ...{ values: 3_021_695, bytes: readFileSync(at('net.safetensors')).length },
  });
});

test('safetensors become a plain state dict', async () => {
  convertPtToSafetensors(at('net.pt'), at('own.safetensors'));
  const { code, stdout } = await mezzo(['convert', 'own.safetensors', '--to', 'pt'], {}, folder);
  assert.deepEqual(
    [code, stdout],
    [
      0,
      "own.pt: 355 tensors of yolov8n, 2 classes, 12 MB\nIn Python: torch.load('own.pt', weights_only=True)\n",
    ],
  );
});

test('COCO and VOC data sets become YOLO data sets in a new folder', async () => {
  const { yaml } = await generateShapes({
    out: at('shapes'),
    train: 4,
    val: 2,
    imgsz: 64,
    seed: 0,
    classes: ['circle'],
  });
  const data = await readDataYaml(yaml);
  const { images } = await scanSplit(data, 'val', { cache: false });
  const boxes = images.flatMap(({ labels }, image) =>
    Array.from({ length: labels.length / 5 }, (_, row) => {
      const [, x, y, w, h] = Array.from(labels.subarray(row * 5, row * 5 + 5), (value) => value * 64);
      return { image, box: [x! - w! / 2, y! - h! / 2, w!, h!] as const };
    }),
  );
  const coco = {
    images: images.map((image, id) => ({ id, file_name: basename(image.path), width: 64, height: 64 })),
    annotations: boxes.map(({ image, box }) => ({ image_id: image, category_id: 1, bbox: box, iscrowd: 0 })),
    categories: [{ id: 1, name: 'circle' }],
  };
  writeFileSync(at('instances_val.json'), JSON.stringify(coco));
  mkdirSync(at('xml'));
  for (const [i, image] of images.entries()) {
    const objects = boxes
      .filter((entry) => entry.image === i)
      .map(
        ({ box: [x, y, w, h] }) =>
          `<object><name>circle</name><bndbox><xmin>${x + 1}</xmin><ymin>${y + 1}</ymin>` +
          `<xmax>${x + w + 1}</xmax><ymax>${y + h + 1}</ymax></bndbox></object>`,
      );
    const name = basename(image.path).replace(/\.\w+$/, '.xml');
    writeFileSync(at(`xml/${name}`), `<annotation>${objects.join('')}</annotation>`);
  }
  for (const [words, out, split] of [
    [['coco', 'instances_val.json'], 'instances_val-yolo', 'val'],
    [['voc', 'xml'], 'xml-yolo', 'train'],
  ] as const) {
    const pictures = dirname(images[0]!.path);
    const { code, stdout, stderr } = await mezzo(['convert', ...words, '--images', pictures], {}, folder);
    const missing = split === 'val' ? ['train'] : ['val'];
    const advice = missing.map(
      (name) => `  ${name}: is not among them; write '${name}:' into the yaml to train\n`,
    );
    const count = `${boxes.length} ${boxes.length === 1 ? 'object' : 'objects'}`;
    assert.deepEqual(
      [code, stdout, stderr],
      [
        0,
        `${out}/data.yaml: 1 class (circle)\n  ${split}: 2 images, ${count}, 0 without objects\n${advice.join('')}`,
        '',
      ],
    );
    const made = await readDataYaml(at(`${out}/data.yaml`), { splits: [split] });
    const found = await scanSplit(made, split, { cache: false, strict: true });
    for (const [i, image] of found.images.entries()) {
      for (const [j, value] of image.labels.entries()) {
        assert.ok(Math.abs(value - images[i]!.labels[j]!) < 1e-6, `${out}: ${value}`);
      }
    }
  }
  const again = await mezzo(['convert', 'voc', 'xml', '--exist-ok'], {}, folder);
  assert.deepEqual(
    [again.code, again.stderr],
    [
      2,
      'error: xml-yolo is there already\nhint:  --out names another folder: a data set is written to a new one\n',
    ],
  );
});

test('wrong usage and bad files: exit code 2, and nothing written', async () => {
  writeFileSync(at('cut.pt'), readFileSync(at('net.pt')).subarray(0, 100_000));
  const before = readdirSync(folder);
  const known =
    'hint:  mezzo convert knows: WEIGHTS.pt to safetensors, WEIGHTS.safetensors to pt, ' +
    'coco FILE.json or FOLDER to yolo, voc FOLDER to yolo, llvip FOLDER to yolo';
  for (const [words, stderr] of [
    [[], `error: what to convert is missing\n${known}`],
    [['a.pt', 'b.pt'], `error: one input at a time: 'b.pt'\n${known}`],
    [['net.onnx'], `error: net.onnx cannot be converted: into what?\n${known}; --to says which`],
    [['net.pt', '--to', 'pt'], `error: net.pt cannot be converted: not to pt\n${known}; --to says which`],
    [['net.pt', '--out', 'net.onnx'], 'error: --out net.onnx is no name for a result in safetensors'],
    [['gone.pt'], 'error: no such file: gone.pt'],
  ] as const) {
    const outcome = await mezzo(['convert', ...words], {}, folder);
    assert.deepEqual([outcome.code, outcome.stdout], [2, ''], words.join(' '));
    assert.equal(outcome.stderr.slice(0, stderr.length), stderr);
  }
  const { code, stdout } = await mezzo(['convert', 'cut.pt', '--json'], {}, folder);
  assert.equal(code, 2);
  assert.deepEqual(JSON.parse(stdout), {
    event: 'error',
    code: 'PT_INVALID',
    message: 'cut.pt: its table of contents at the end is missing: the file was cut off',
    hint: 'the file is damaged or incomplete: copy or download it again',
  });
  assert.deepEqual(readdirSync(folder), before);
});
