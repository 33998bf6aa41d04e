import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { DoneEvent, EpochEvent, StartEvent, StepEvent, TrainEvent } from '@mezzo/detect';
import { comparisonRows } from '../src/comparison.ts';
import { progressLine } from '../src/progress.ts';
import { TrainingLine } from '../src/training-columns.ts';
import { TrainingLines } from '../src/training-lines.ts';
import { ampLine, TrainingView } from '../src/training-view.ts';
import { tableWidths, validationTable } from '../src/validation-table.ts';
import { recordingTerminal } from './recording-terminal.ts';

const start: StartEvent = {
  event: 'start',
  saveDir: 'runs/detect/train',
  amp: { enabled: true, dtype: 'float16', reason: 'compute capability 9.0' },
  scaler: true,
  device: 'cuda:0',
  ranks: 1,
  machine: 'a machine',
  model: { name: 'yolov8n', params: 3011043, gflops: 8.2 },
  data: { path: 'data.yaml', train: 205, val: 87, pairs: false, names: ['a', 'b'] },
  imgsz: { train: 320, val: 320 },
  epochs: 40,
  batch: 16,
  workers: 2,
  optimizer: 'SGD(lr=0.01)',
  firstEpoch: 1,
};

const step: StepEvent = {
  event: 'step',
  epoch: 1,
  epochs: 40,
  step: 13,
  steps: 13,
  losses: { box: 3.01234, cls: 4.5, dfl: 2.1 },
  instances: 45,
  size: 320,
  memoryBytes: 2.31 * 2 ** 30,
  scale: 32768,
  skipped: 1,
  imagesPerSecond: 48.12,
  waitShare: 0.034,
  phases: { data: 0.34, forward: 3.3, backward: 6, optimizer: 0.36 },
  gpu: { utilization: 0.87, memoryUsed: 9e9 },
};

const epoch: EpochEvent = {
  event: 'epoch',
  epoch: 1,
  epochs: 40,
  losses: step.losses,
  valLosses: step.losses,
  precision: 0.71234,
  recall: 0.6,
  map50: 0.65,
  map: 0.4,
  images: 87,
  instances: 967,
  lr: [0.01, 0.01, 0.1],
  scale: 32768,
  skipped: 1,
  seconds: 12.34,
  imagesPerSecond: 50,
  waitShare: 0.034,
  phases: { data: 0.2, forward: 2, backward: 3, optimizer: 0.5, validation: 4 },
  peakBytes: 2 ** 30,
  best: true,
};

const done: DoneEvent = {
  event: 'done',
  saveDir: 'runs/detect/train',
  best: { epoch: 1, map50: 0.65, map: 0.4 },
  seconds: 36,
  epochs: 1,
  stopped: 'patience',
  results: {
    map50: 0.65,
    map: 0.4,
    precision: 0.71234,
    recall: 0.6,
    images: 87,
    instances: 967,
    perClass: [
      { id: 0, name: 'a', images: 80, instances: 900, precision: 0.7, recall: 0.6, ap50: 0.6, ap: 0.3 },
      { id: 1, name: 'b', images: 7, instances: 67, precision: 0.7, recall: 0.6, ap50: 0.7, ap: 0.5 },
    ],
    speed: { preprocess: 0.0003, inference: 0.0121, postprocess: 0.001 },
  },
};

const run: TrainEvent[] = [start, step, { event: 'valStep', step: 3, steps: 3 }, epoch, done];

const OPENING = [
  'Device: a machine',
  'Model: yolov8n, 3,011,043 parameters, 8.2 GFLOPs',
  'AMP: enabled (fp16, autocast, loss scaler, compute capability 9.0)',
  'Optimizer: SGD(lr=0.01)',
  'Data: data.yaml, 205 training images, 87 to validate, 2 classes',
  'Image sizes 320 train, 320 val',
  'Using 2 dataloader workers',
  'Logging results to runs/detect/train',
  'Starting training for 40 epochs...',
];

const CLOSING = [
  'No better epoch than 1 for as long as patience allows: stopped.',
  '\n1 epochs completed in 0.010 hours.',
  'Best epoch: 1',
  '                 Class     Images  Instances      Box(P          R      mAP50  mAP50-95)',
  '                   all         87        967      0.712        0.6       0.65        0.4',
  '                     a         80        900        0.7        0.6        0.6        0.3',
  '                     b          7         67        0.7        0.6        0.7        0.5',
  'Speed: 0.3ms preprocess, 12.1ms inference, 1.0ms postprocess per image',
  'Results saved to runs/detect/train',
];

test('for a person: header and bar of each epoch with scale and skips, and the validation row', () => {
  const terminal = recordingTerminal({ interactive: true, columns: 210 });
  const view = new TrainingView(terminal, true);
  for (const event of run) view.show(event);
  assert.deepEqual(terminal.printed, [
    ...OPENING,
    '\n      Epoch    GPU_mem   box_loss   cls_loss   dfl_loss  Instances       Size      Scale    Skipped',
    '                 Class     Images  Instances      Box(P          R      mAP50  mAP50-95)',
    '                   all         87        967      0.712        0.6       0.65        0.4',
    '     12.3 s: data 0.2, forward 2.0, backward 3.0, optimizer 0.5, validation 4.0',
    ...CLOSING,
  ]);
  assert.match(
    terminal.statuses[0]!,
    /^ {7}1\/40 {6}2\.31G {6}3\.012 {8}4\.5 {8}2\.1 {9}45 {8}320 {6}32768 {10}1: 100%\|█{10}\| 13\/13 \[.*<.*, 48\.1img\/s, wait 3%, fwd 33% bwd 60% opt 4%, GPU 87%\]$/,
  );
  assert.match(terminal.statuses[1]!, /^Validating: 100%\|█{10}\| 3\/3 \[/);
  assert.equal(view.start, start);
});

test('for a log: the header once and one line an epoch', () => {
  const terminal = recordingTerminal({ interactive: false });
  const view = new TrainingView(terminal, true);
  for (const event of [start, step, epoch, { ...epoch, epoch: 2 }, done]) view.show(event);
  assert.deepEqual(terminal.statuses, []);
  const numbers =
    '      3.012        4.5        2.1      32768          1      0.712        0.6       0.65        0.4       12.3       50.0         3%';
  assert.deepEqual(terminal.printed, [
    ...OPENING,
    '      Epoch     Memory   box_loss   cls_loss   dfl_loss      Scale    Skipped          P          R      mAP50   mAP50-95    Seconds   Images/s       Wait',
    `       1/40         1G${numbers}`,
    `       2/40         1G${numbers}`,
    ...CLOSING,
  ]);
});

test('a line of training fits into the terminal, with less in it where that is narrow', () => {
  const long: StepEvent = {
    ...step,
    epoch: 300,
    epochs: 300,
    step: 1234,
    steps: 1234,
    losses: { box: 0.01234, cls: 123.45, dfl: 2.1234 },
    imagesPerSecond: 1234.5,
    waitShare: 1,
    phases: { data: 0, forward: 0, backward: 1, optimizer: 0 },
    gpu: { utilization: 1, memoryUsed: 9e9 },
  };
  const shown = (columns: number, device: string, scaler: boolean) => {
    const line = new TrainingLine(['box', 'cls', 'dfl'], device, scaler, columns);
    const { gpu: _, ...plain } = long;
    const event = device === 'cpu' ? plain : long;
    const text = progressLine(line.row(event), 1234, 1234, 3599, line.progress(event));
    assert.ok(text.length < columns, `${columns}: ${text.length}`);
    return [line.header(), text];
  };
  assert.deepEqual(shown(80, 'cuda:0', true), [
    '   Epoch GPU_mem box_loss cls_loss dfl_loss',
    ' 300/300   2.31G  0.01234    123.5    2.123: 100% <00:00, 1235img/s, wait 100%',
  ]);
  assert.deepEqual(shown(120, 'cuda:0', true), [
    '   Epoch GPU_mem box_loss cls_loss dfl_loss',
    ' 300/300   2.31G  0.01234    123.5    2.123: 100% 1234/1234 [59:59<00:00, 1235img/s, wait 100%, GPU 100%]',
  ]);
  assert.deepEqual(shown(120, 'cpu', false), [
    '   Epoch  Memory box_loss cls_loss dfl_loss',
    ' 300/300   2.31G  0.01234    123.5    2.123: 100% 1234/1234 [59:59<00:00, 1235img/s, wait 100%, fwd 0% bwd 100% opt 0%]',
  ]);
  assert.match(shown(140, 'cpu', false)[1]!, /45 {2}320: 100% 1234\/1234 .*, fwd 0% bwd 100% opt 0%\]$/);
  assert.match(shown(180, 'cpu', false)[1]!, /45 {8}320: 100%\|█{10}\| 1234\/1234/);
});

test('a log has a column for the card where that is watched', () => {
  const terminal = recordingTerminal({ interactive: false });
  const view = new TrainingView(terminal, true);
  const gpu = { utilization: 0.87, memoryUsed: 9e9 };
  for (const event of [{ ...epoch, gpu }, { ...epoch, gpu: { ...gpu, utilization: null } }, epoch])
    view.show(event);
  assert.deepEqual(
    terminal.printed.map((line) => line.slice(-22)),
    ['       Wait        GPU', '         3%        87%', '         3%          -', '         3%          -'],
  );
});

test('the validation table: narrower for a narrow terminal, wider for long names in a log', () => {
  const names = ['Erythrocyte, mature and unnucleated (RBC)', 'a'];
  const perClass = done.results.perClass.map((row, i) => ({ ...row, name: names[i]! }));
  const table = (interactive: boolean, columns: number) =>
    validationTable({ ...done.results, perClass }, true, tableWidths({ interactive, columns }));
  assert.deepEqual(table(true, 80), [
    '          Class    Images Instances     Box(P         R     mAP50 mAP50-95)',
    '            all        87       967     0.712       0.6      0.65       0.4',
    '  Erythrocyte,…        80       900       0.7       0.6       0.6       0.3',
    '              a         7        67       0.7       0.6       0.7       0.5',
  ]);
  for (const line of table(false, 80)) assert.equal(line.length, 41 + 66);
  assert.match(table(false, 80)[2]!, /^ Erythrocyte, mature and unnucleated \(RB… +80 +900/);
});

test('without a scaler there are no columns for it; messages and warnings go beside', () => {
  const terminal = recordingTerminal({ interactive: true });
  const view = new TrainingView(terminal, false);
  const { scale: _, skipped: __, ...plain } = step;
  const cpu = { enabled: false, dtype: 'float32', reason: 'amp=false' };
  view.show({ ...start, device: 'cpu', scaler: false, amp: cpu, firstEpoch: 7 });
  view.show(plain);
  view.show({ event: 'message', level: 'warning', text: 'slow' });
  view.show({ event: 'message', level: 'info', text: 'news' });
  view.show({ event: 'skip', step: 3, scale: null, culprits: ['loss'], cause: 'the loss was not finite' });
  view.show({
    event: 'skip',
    step: 4,
    scale: 2 ** 16,
    culprits: ['a.b'],
    cause: 'non-finite gradients in a',
  });
  assert.equal(terminal.printed[2], 'AMP: off (fp32, amp=false)');
  assert.deepEqual(terminal.printed.slice(8), [
    'Resuming training at epoch 7 of 40...',
    '\n   Epoch  Memory box_loss cls_loss dfl_loss',
  ]);
  assert.deepEqual(terminal.notes, [
    'warning: slow',
    'news',
    'Step 3 was left out: the loss was not finite',
    'Step 4 was left out: non-finite gradients in a (loss scale 65536)',
  ]);
  assert.equal(
    ampLine({ amp: { enabled: true, dtype: 'bfloat16', reason: 'why' }, scaler: false }),
    'AMP: enabled (bf16, autocast, why)',
  );
});

test('as JSON: the events of the contract, numbers that JSON has, nothing else on stdout', () => {
  const terminal = recordingTerminal({ interactive: true });
  const lines = new TrainingLines(terminal);
  const skip = { event: 'skip', step: 3, scale: 65536, culprits: ['loss'], cause: 'why' } as const;
  const bad = { ...epoch, losses: { box: Number.NaN, cls: Number.POSITIVE_INFINITY, dfl: 1 } };
  for (const event of [...run.slice(0, 3), skip, bad, done]) lines.show(event);
  lines.show({ event: 'message', level: 'info', text: 'news' });
  const events = terminal.printed.map((line) => JSON.parse(line) as Record<string, unknown>);
  assert.deepEqual(
    events.map(({ event }) => event),
    ['start', 'skip', 'epoch', 'done'],
  );
  assert.deepEqual(events[1], skip);
  assert.deepEqual(events[2]!.losses, { box: null, cls: null, dfl: 1 });
  assert.deepEqual(terminal.notes, ['news']);
  assert.equal(lines.start, start);
});

test('two runs side by side', () => {
  const fp32 = { epochSeconds: 4.2, peakBytes: 6e8, map50: 0.9123, map: 0.7, skipped: 0, scale: null };
  const amp = { ...fp32, epochSeconds: 2.1, peakBytes: 3.9e8, skipped: 2, scale: 32768 };
  assert.deepEqual(comparisonRows(['fp32', 'AMP'], fp32, amp), [
    '                          fp32         AMP       ratio',
    'time per epoch          4.20 s      2.10 s       0.50x',
    'peak memory             600 MB      390 MB       0.65x',
    'mAP50                    0.912       0.912',
    'mAP50-95                 0.700       0.700',
    'skipped steps                0           2',
    'final loss scale     no scaler       32768',
  ]);
});

test('a change of the precision plan is a line of its own', () => {
  const terminal = recordingTerminal({ interactive: false });
  const view = new TrainingView(terminal, true);
  const moved = {
    event: 'precision',
    window: 4,
    layer: 'model.4.cv1',
    from: 'float16',
    to: 'float32',
    reason: 'overflowed again when it was tried in low precision',
    evidence: {},
  } as const;
  const reason = 'overflows in float32 as well: the cause is not the precision';
  view.show(moved);
  view.show({ ...moved, layer: '', from: 'float32', reason });
  assert.deepEqual(terminal.notes, [
    'Precision: model.4.cv1: float16 → float32 (overflowed again when it was tried in low precision)',
    'Precision: the model: float32 (overflows in float32 as well: the cause is not the precision)',
  ]);
});
