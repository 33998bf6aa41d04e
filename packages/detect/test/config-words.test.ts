import assert from 'node:assert/strict';
import { test } from 'node:test';
import { COMMAND_LINE_OPTIONS, joinLayers, parseWords, Spellings } from '../src/config/index.ts';

const spellings = new Spellings(COMMAND_LINE_OPTIONS);

function options(line: string) {
  return joinLayers('train', parseWords(line === '' ? [] : line.split(' '), spellings).assignments);
}

async function refusal(words: string[], command: 'train' | 'val' | 'predict' = 'train') {
  try {
    await joinLayers(command, parseWords(words, spellings).assignments);
  } catch (error) {
    const { code, message } = error as Error & { code: string };
    return `${code}: ${message}`;
  }
  return 'accepted';
}

test('one option in every way of writing it', async () => {
  for (const line of [
    'imgsz=320',
    '--imgsz=320',
    '--imgsz 320',
    '-imgsz 320',
    'imgsz = 320',
    'imgsz =320',
    'imgsz= 320',
    'imgsz=320,',
    'IMGSZ=320',
    '--img 320',
    '--img-size 320',
    '--img_size=320',
    'imgsz=[320,320]',
  ]) {
    assert.deepEqual(await options(line), { imgsz: 320 }, line);
  }
});

test('a dash equals an underscore, in options and in aliases', async () => {
  assert.deepEqual(await options('--close-mosaic 5 --batch-size=4 warmup-epochs=2'), {
    close_mosaic: 5,
    batch: 4,
    warmup_epochs: 2,
  });
});

test('yes-or-no options may stand alone, and take none, true and false of any case', async () => {
  assert.deepEqual(await options('--cos-lr data=a.yaml'), { cos_lr: true, data: 'a.yaml' });
  assert.deepEqual(await options('cos_lr, exist_ok'), { cos_lr: true, exist_ok: true });
  assert.deepEqual(await options('cos_lr=True val=FALSE plots=none'), { cos_lr: true, val: false });
  assert.deepEqual(await options('--cos-lr false --plots True'), { cos_lr: false, plots: true });
});

test('flags that mean false', async () => {
  assert.deepEqual(await options('--unamp --nosave --noval --noplots'), {
    amp: false,
    save: false,
    val: false,
    plots: false,
  });
  assert.deepEqual(await options('unamp=False'), { amp: true });
});

test('options that take a value or stand alone', async () => {
  assert.deepEqual(await options('--amp bf16 --resume'), { amp: 'bf16', resume: true });
  assert.deepEqual(await options('--resume runs/last.safetensors --amp'), {
    resume: 'runs/last.safetensors',
    amp: true,
  });
  assert.deepEqual(await options('--resume epochs=3'), { resume: true, epochs: 3 });
});

test('lists: with commas, brackets and blanks, or the words after a flag', async () => {
  assert.deepEqual(await options('freeze=0,2'), { freeze: [0, 2] });
  assert.deepEqual(await options('freeze=[0, 2]'), { freeze: [0, 2] });
  assert.deepEqual(await options('--freeze 0 2 11 --epochs 3'), { freeze: [0, 2, 11], epochs: 3 });
  assert.deepEqual(await options('freeze=10'), { freeze: 10 });
});

test('the last of several values counts, and none goes back to the default', async () => {
  assert.deepEqual(await options('epochs=3 epochs=4'), { epochs: 4 });
  assert.deepEqual(await options('epochs=3 epochs=none'), {});
});

test('negative numbers, exponents and names that look like numbers', async () => {
  assert.deepEqual(await options('--save-period -1 lr0=1e-3 name=007 --seed +5'), {
    save_period: -1,
    lr0: 0.001,
    name: '007',
    seed: 5,
  });
});

test('devices are named as LibTorch names them', async () => {
  for (const [line, device] of [
    ['device=cpu', 'cpu'],
    ['device=0', 'cuda:0'],
    ['device=-1', '-1'],
    ['device=cuda', 'cuda:0'],
    ['device=cuda:3', 'cuda:3'],
    ["device='2'", 'cuda:2'],
    ['device=[1]', 'cuda:1'],
  ]) {
    assert.deepEqual(await options(line!), { device }, line);
  }
  assert.deepEqual(await joinLayers('train', parseWords(['--device', ''], spellings).assignments), {});
});

test("YOLOv5's spellings", async () => {
  const line = '--img 640 --batch 16 --epochs 3 --weights w.safetensors --noautoanchor=False --cache=False';
  assert.deepEqual(await options(line), {
    imgsz: 640,
    batch: 16,
    epochs: 3,
    model: 'w.safetensors',
    noautoanchor: false,
    cache: false,
  });
  assert.deepEqual(await options('--weights= --cfg models/yolov5s.yaml'), { model: 'models/yolov5s.yaml' });
  assert.deepEqual(await options('--weights w.safetensors --cfg yolov8n.yaml'), {
    model: 'yolov8n.yaml',
    pretrained: 'w.safetensors',
  });
  const val = parseWords('--conf-thres 0.01 --iou-thres 0.6 --task test'.split(' '), spellings);
  assert.deepEqual(await joinLayers('val', val.assignments), { conf: 0.01, iou: 0.6, split: 'test' });
});

test('words that are no option are left to the command', () => {
  assert.deepEqual(parseWords(['a.jpg', 'conf=0.5', '--', '--odd', 'x=y'], spellings).operands, [
    'a.jpg',
    '--odd',
    'x=y',
  ]);
});

test('unknown options offer the nearest names', async () => {
  assert.equal(await refusal(['epoch=3']), "UNKNOWN_OPTION: unknown option 'epoch'; did you mean 'epochs'?");
  assert.equal(
    await refusal(['--amp-dtpye', 'bf16']),
    "UNKNOWN_OPTION: unknown option '--amp-dtpye'; did you mean 'amp'?",
  );
  assert.equal(
    await refusal(['mosiac=0']),
    "UNKNOWN_OPTION: unknown option 'mosiac'; did you mean 'mosaic'?",
  );
  assert.equal(await refusal(['qqqqqq=1']), "UNKNOWN_OPTION: unknown option 'qqqqqq'");
});

test('a value that is missing, of the wrong kind or out of range', async () => {
  for (const [words, message] of [
    [['epochs'], "BAD_OPTION: 'epochs' needs a value, for example epochs=100"],
    [['--epochs'], "BAD_OPTION: '--epochs' needs a value, for example epochs=100"],
    [['epochs=ten'], 'BAD_OPTION: epochs=ten: expected a whole number of at least 1'],
    [['epochs=0'], 'BAD_OPTION: epochs=0: expected a whole number of at least 1'],
    [['epochs=2.5'], 'BAD_OPTION: epochs=2.5: expected a whole number of at least 1'],
    [['imgsz=0'], 'BAD_OPTION: imgsz=0: expected a whole number of pixels from 32 to 16384'],
    [['fraction=0'], 'BAD_OPTION: fraction=0: expected a number above 0 and at most 1'],
    [['momentum=1.5'], 'BAD_OPTION: momentum=1.5: expected a number from 0 to 1'],
    [['lr0=nan'], 'BAD_OPTION: lr0=nan: expected a number above 0'],
    [['cos_lr=1'], 'BAD_OPTION: cos_lr=1: expected true or false'],
    [['unamp=fp16'], 'BAD_OPTION: unamp=fp16: expected true or false'],
    [
      ['amp=bf17'],
      'BAD_OPTION: amp=bf17: expected true or false, or one of fp16, bf16, fp32, auto; did you mean bf16?',
    ],
    [
      ['optimizer=sdg'],
      'BAD_OPTION: optimizer=sdg: expected one of auto, SGD, Adam, AdamW, Adamax, NAdam, RAdam, RMSProp; did you mean SGD?',
    ],
    [
      ['device=gpu'],
      'BAD_OPTION: device=gpu: expected cpu, -1, or the number of a CUDA device such as 0 or cuda:0',
    ],
    [['data='], 'accepted'],
    [['model=true'], 'BAD_OPTION: model=true: expected a path'],
  ] as const) {
    assert.equal(await refusal([...words]), message);
  }
});

test('what exists elsewhere and not here is refused with a sentence', async () => {
  for (const [words, message] of [
    [['imgsz=640,480'], 'imgsz=640,480: two different sides are not supported: give the longer one'],
    [
      ['device=0,1'],
      'device=0,1: training on several GPUs takes NCCL, which Mezzo is not built with: give one, or device=cpu ranks=2',
    ],
    [['device=mps'], 'device=mps: Mezzo runs on the CPU and on CUDA devices'],
    [['mask_ratio=2'], 'mask_ratio=2: it belongs to segmentation, and Mezzo trains detectors'],
    [['task=segment'], 'task=segment: Mezzo detects: segment, pose, classify and obb are other tasks'],
    [['source=a.jpg'], 'source is an option of mezzo predict and mezzo export, not of mezzo train'],
  ] as const) {
    assert.equal(await refusal([...words]), `UNSUPPORTED_OPTION: ${message}`);
  }
  assert.equal(
    await refusal(['epochs=3'], 'val'),
    'UNSUPPORTED_OPTION: epochs is an option of mezzo train, not of mezzo val',
  );
});

test('keys of other tasks are accepted at their defaults', async () => {
  assert.deepEqual(await options('mask_ratio=4 pose=12.0 overlap_mask=True tracker=botsort.yaml'), {});
});
