import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { existsSync, mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { after, before, test } from 'node:test';
import { mezzo, type Outcome, ROOT } from './mezzo.ts';

const folder = mkdtempSync(join(tmpdir(), 'mezzo-training-'));
const SMALL = ['data=shapes/data.yaml', 'imgsz=64', 'batch=4', 'workers=0', 'plots=false', 'amp=false'];

before(async () => {
  const { code, stdout } = await here('data', 'shapes', '--out', 'shapes', 'train=12', 'val=4', 'imgsz=64');
  const yaml = join(folder, 'shapes', 'data.yaml');
  assert.equal(code, 0);
  assert.equal(
    stdout,
    `12 training pictures and 4 to validate: ${yaml}\nTrain on them: mezzo train data=${yaml}\n`,
  );
});
after(() => rmSync(folder, { recursive: true }));

function here(...words: string[]): Promise<Outcome> {
  return mezzo(words, { OMP_NUM_THREADS: '1' }, folder);
}

function lines(stdout: string): Record<string, unknown>[] {
  return stdout
    .trim()
    .split('\n')
    .map((line) => JSON.parse(line) as Record<string, unknown>);
}

test('train --json: start, one line an epoch, done; runs/ is beside the caller', async () => {
  const { code, stdout } = await here('train', ...SMALL, 'epochs=2', '--json');
  assert.equal(code, 0);
  const events = lines(stdout);
  assert.deepEqual(
    events.map(({ event }) => event),
    ['start', 'epoch', 'epoch', 'done'],
  );
  const [start, epoch, , done] = events as [
    Record<string, unknown>,
    Record<string, unknown>,
    unknown,
    Record<string, unknown>,
  ];
  const saveDir = join(folder, 'runs', 'detect', 'train');
  assert.equal(start.saveDir, saveDir);
  assert.deepEqual(start.amp, { enabled: false, dtype: 'float32', reason: 'amp=false' });
  assert.equal(start.device, 'cpu');
  assert.equal((start.model as { params: number }).params, 3011433);
  for (const key of [
    'losses',
    'map50',
    'map',
    'lr',
    'scale',
    'skipped',
    'seconds',
    'imagesPerSecond',
    'peakBytes',
  ]) {
    assert.ok(key in epoch, key);
  }
  assert.deepEqual([epoch.epoch, epoch.epochs, epoch.scale, epoch.skipped], [1, 2, null, 0]);
  assert.deepEqual(Object.keys(epoch.losses as object), ['box', 'cls', 'dfl']);
  assert.equal(done.saveDir, saveDir);
  assert.deepEqual(Object.keys(done.best as object), ['epoch', 'map50', 'map']);
  assert.ok(existsSync(join(saveDir, 'weights', 'best.safetensors')));
});

test('train as text: the lines that people look for, one line an epoch where nobody watches', async () => {
  const { code, stdout } = await here(
    'yolo',
    'detect',
    'train',
    ...SMALL,
    'epochs=1',
    'amp=bf16',
    'name=text',
  );
  assert.equal(code, 0);
  assert.match(stdout, /^Device: .+\nModel: yolov8n, 3,011,433 parameters, 0\.1 GFLOPs\n/);
  assert.match(stdout, /\nAMP: enabled \(bf16, autocast, amp=bf16\)\n/);
  assert.match(
    stdout,
    /\nImage sizes 64 train, 64 val\nUsing 0 dataloader workers\nLogging results to .+text\n/,
  );
  assert.match(
    stdout,
    /\nStarting training for 1 epochs\.\.\.\n +Epoch +Memory +box_loss +cls_loss +dfl_loss +P +R +mAP50/,
  );
  assert.match(stdout, /\n +1\/1 +[\d.]+G( +\S+){10}\n/);
  assert.match(stdout, /\n1 epochs completed in \d\.\d{3} hours\.\n/);
  assert.match(
    stdout,
    /\nSpeed: [\d.]+ms preprocess, [\d.]+ms inference, [\d.]+ms postprocess per image\nResults saved to .+text\n$/,
  );
});

test('val and predict on the weights of the run', async () => {
  const model = 'model=runs/detect/train/weights/best.safetensors';
  const val = await here('val', model, 'imgsz=64', 'workers=0', 'plots=false', '--json');
  assert.equal(val.code, 0);
  const summary = JSON.parse(val.stdout) as Record<string, unknown>;
  for (const key of ['map50', 'map', 'precision', 'recall', 'perClass', 'speed'])
    assert.ok(key in summary, key);
  assert.deepEqual(Object.keys(summary.speed as object), ['preprocess', 'inference', 'postprocess']);

  const predict = await here('predict', model, 'shapes/images/val', 'imgsz=64', 'conf=0.0001', '--json');
  assert.equal(predict.code, 0);
  const pictures = lines(predict.stdout);
  assert.equal(pictures.length, 4);
  assert.deepEqual(Object.keys(pictures[0]!), ['path', 'width', 'height', 'boxes']);
  assert.equal(pictures[0]!.width, 64);
  const [box] = pictures.flatMap(({ boxes }) => boxes as object[]);
  assert.deepEqual(Object.keys(box!), ['cls', 'name', 'conf', 'xyxy']);
  assert.ok(existsSync(join(folder, 'runs', 'detect', 'predict', '00000.jpg')));

  const text = await here('predict', model, 'source=shapes/images/val/00001.jpg', 'save=false', 'conf=0.99');
  assert.match(text.stdout, /^image 1 .*00001\.jpg: 64x64 no detections, [\d.]+ms\nSpeed: .+ per image\n$/);
});

test('Ctrl-C saves, says how to go on, exits with 130; resume=true alone goes on', async () => {
  const words = ['train', ...SMALL, 'epochs=3', 'name=stopped', 'json=true'];
  const child = spawn(`${ROOT}mezzo`, words, {
    cwd: folder,
    env: { ...process.env, OMP_NUM_THREADS: '1' },
    stdio: ['ignore', 'pipe', 'pipe'],
  });
  const seen: Record<string, unknown>[] = [];
  createInterface({ input: child.stdout }).on('line', (line) => {
    seen.push(JSON.parse(line) as Record<string, unknown>);
    if (seen.at(-1)!.event === 'epoch') child.kill('SIGINT');
  });
  let notes = '';
  child.stderr.setEncoding('utf8').on('data', (text: string) => {
    notes += text;
  });
  const code = await new Promise((resolve) => child.on('close', resolve));
  assert.equal(code, 130);
  assert.match(notes, /Stopping: saving a checkpoint first; once more stops at once\.\n/);
  const last = join(folder, 'runs', 'detect', 'stopped', 'weights', 'last.safetensors');
  const { event, code: reason, hint } = seen.at(-1)!;
  assert.deepEqual(
    [event, reason, hint],
    ['error', 'INTERRUPTED', `continue with: mezzo train resume=${last}`],
  );

  const { code: resumed, stdout } = await here('train', 'resume=true', '--json');
  assert.equal(resumed, 0);
  const events = lines(stdout);
  assert.equal(events[0]!.saveDir, join(folder, 'runs', 'detect', 'stopped'));
  assert.equal(events.at(-1)!.event, 'done');
  assert.equal(events.at(-1)!.epochs, 3);
  const rows = readFileSync(join(folder, 'runs', 'detect', 'stopped', 'results.csv'), 'utf8')
    .trim()
    .split('\n');
  assert.deepEqual(
    rows.slice(1).map((row) => row.split(',')[0]),
    ['1', '2', '3'],
  );
});

test('bad input: exit code 2, a message that names the thing, no run folder', async () => {
  for (const [words, message] of [
    [
      ['train', 'data=none.yaml'],
      `error: there is no data set 'none.yaml'; searched: ${folder}/none.yaml\nhint:  Mezzo downloads no data sets: give the path of a data.yaml on this machine, or generate a set with \`mezzo data shapes --out DIR\`\n`,
    ],
    [
      ['train', 'data=shapes/data.yaml', 'model=yolov8n.pt'],
      `error: yolov8n.pt is not there; looked for ${folder}/yolov8n.pt and ${folder}/yolov8n.safetensors\nhint:  Mezzo downloads no weights: model=yolov8n trains from scratch, or give the path of your own weights\n`,
    ],
    [
      ['data', 'shapes', '--out', 'shapes'],
      `error: ${folder}/shapes is not empty\nhint:  name a new folder, or empty this one\n`,
    ],
  ] as const) {
    assert.deepEqual(await here(...words, ...(words[0] === 'train' ? ['project=nothing'] : [])), {
      code: 2,
      stdout: '',
      stderr: message,
    });
  }
  const nothing = await here('train', 'resume=true', 'project=nothing');
  assert.equal(nothing.code, 2);
  assert.match(nothing.stderr, /error: resume: no run under .*nothing has a checkpoint\n/);
  assert.ok(!existsSync(join(folder, 'nothing')));
});
