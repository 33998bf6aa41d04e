import assert from 'node:assert/strict';
import { mkdtempSync, readdirSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { after, before, test } from 'node:test';
import { native } from '@mezzo/libtorch';
import { type PreflightReport, planFromPatterns, preflight } from '@mezzo/precision';
import { cuda, manualSeed, noGrad, optim, scope, setNumThreads, type Tensor } from '@mezzo/torch';
import { openModel } from '../src/engine/model-source.ts';
import {
  buildModel,
  checkBeforeTraining,
  choosePrecision,
  DetectionLoss,
  type DetectorParts,
  detectorSubject,
  generateShapes,
  readDataYaml,
  scanSplit,
  syntheticBatch,
  YOLO,
} from '../src/index.ts';
import type { Detect } from '../src/models/detect.ts';
import { checkDetector, checkParts } from '../src/precision/check-detector.ts';

process.env.OMP_NUM_THREADS ??= '1';

const IMGSZ = 64;
const BATCH = 2;
const folder = mkdtempSync(path.join(tmpdir(), 'mezzo-check-'));
const data = path.join(folder, 'shapes', 'data.yaml');
const homeBefore = process.env.MEZZO_HOME;

before(async () => {
  setNumThreads(1);
  // The addon is compiled in the user's folder; only the verdicts go to the scratch one.
  native();
  process.env.MEZZO_HOME = path.join(folder, 'home');
  await generateShapes({ out: path.join(folder, 'shapes'), train: 6, val: 2, imgsz: IMGSZ, seed: 3 });
});
after(() => {
  if (homeBefore === undefined) delete process.env.MEZZO_HOME;
  else process.env.MEZZO_HOME = homeBefore;
  rmSync(folder, { recursive: true, force: true });
});

/** Fp16 is slow on a CPU: what is no matter of size is shown on four layers. */
const TINY = {
  nc: 3,
  backbone: [
    [-1, 1, 'Conv', [16, 3, 2]],
    [-1, 1, 'Conv', [32, 3, 2]],
    [-1, 1, 'Conv', [64, 3, 2]],
  ],
  head: [[[2], 1, 'Detect', ['nc']]],
};

function detector(
  channels: number,
  amp: 'bf16' | 'fp16' = 'bf16',
  table: string | object = TINY,
): DetectorParts {
  manualSeed(0);
  const model = buildModel(table, { nc: 3, ch: channels }).train();
  model.to({ memoryFormat: 'channels_last' });
  return {
    model,
    loss: new DetectionLoss({ nc: 3, strides: model.strides }),
    device: 'cpu',
    precision: choosePrecision(amp, 'cpu', true),
    frozen: [],
  };
}

const examine = (parts: DetectorParts): PreflightReport =>
  preflight(detectorSubject(parts, syntheticBatch(BATCH, parts.model.ch, IMGSZ, 3)));

const errors = ({ findings }: PreflightReport) => findings.filter(({ severity }) => severity !== 'note');

function train({ model, loss }: DetectorParts, steps: number): void {
  const subject = syntheticBatch(BATCH, model.ch, IMGSZ, 3);
  const optimizer = new optim.SGD(
    model.parameters().filter(({ requiresGrad }) => requiresGrad),
    { lr: 0.005, momentum: 0.9 },
  );
  for (let i = 0; i < steps; i++) {
    scope(() => {
      optimizer.zeroGrad();
      const maps = model.maps(subject.images.float().div(255));
      loss.forward(maps, subject.rows).total.backward();
      optimizer.step();
    });
  }
  optimizer.zeroGrad();
}

for (const channels of [1, 3, 4, 6]) {
  test(`Y1: YOLOv8n of ${channels} channel${channels === 1 ? '' : 's'} passes, offline, untrained and trained`, () => {
    const parts = detector(channels, 'bf16', 'yolov8n');
    for (const steps of [0, 4]) {
      train(parts, steps);
      const report = examine(parts);
      assert.equal(report.line, 'AMP: checks passed', JSON.stringify(errors(report)));
      assert.equal(report.verdict, 'sound');
      assert.deepEqual(errors(report), []);
      const { numbers } = report;
      assert.ok(numbers.gradCosine! > 0.4 && numbers.gradCosine! < 1, String(numbers.gradCosine));
      assert.ok(numbers.lossGap! > 0);
      assert.ok(numbers.boxErrorPx! > 0);
      assert.ok(numbers.convolutions > 30);
    }
  });
}

test('Y2: an untrained detector is judged by its loss and raw outputs; a batch without boxes is a finding', () => {
  const parts = detector(3);
  const batch = { ...syntheticBatch(BATCH, 3, IMGSZ, 3), rows: new Float32Array(0) };
  const report = preflight(detectorSubject(parts, batch));
  assert.equal(report.verdict, 'unavailable');
  assert.equal(
    report.line,
    'AMP: checks failed: consistency: the batch has no target that the model could learn',
  );
  noGrad(() => {
    for (const parameter of parts.model.parameters()) parameter.zero_();
  });
  const dead = examine(parts);
  assert.equal(dead.verdict, 'unavailable');
  assert.match(dead.line, /^AMP: checks failed: consistency: /);
});

test('a check leaves weights, statistics, gradients and mode to the bit', () => {
  const parts = detector(3, 'bf16', 'yolov8n');
  const { model } = parts;
  model.eval();
  train(parts, 1);
  const state = () =>
    Object.entries(model.stateDict()).map(([name, tensor]) => [
      name,
      Buffer.from(native().readBytes(tensor.contiguous().handle)).toString('base64'),
    ]);
  const before_ = scope(state);
  examine(parts);
  assert.deepEqual(scope(state), before_);
  assert.equal(model.training, false);
  assert.ok(model.parameters().every(({ grad }) => grad === null));
});

/** An operation planted behind a layer, in the layer's own forward. */
function plant({ model }: DetectorParts, layer: number, fn: (x: Tensor) => Tensor): void {
  model.model.at(layer).aroundForward((proceed, inputs) => fn(proceed(...inputs) as Tensor));
}

test('an operation that is unsafe in fp16 is named with its layer, and its island cures it', () => {
  const parts = detector(3, 'fp16');
  plant(parts, 2, (x) => x.mul(0).add(12).exp().log().sub(12).add(x));
  const report = examine(parts);
  assert.equal(report.verdict, 'sound-with-islands', report.line);
  assert.equal(report.ok, true);
  const [found] = errors(report);
  assert.equal(found!.code, 'UNSAFE_OP');
  assert.equal(
    found!.message,
    'exp runs in low precision in model.2 (largest operand 12): the result leaves the range',
  );
  assert.equal(found!.remedy, 'island: exp of model.2 in float32');
  assert.ok(report.plan!.rules.every(({ layers }) => layers === 'model.2'));
  assert.ok(report.numbers.gradCosine! > 0.9);
});

test('two pictures of 32 px are no fault of the format, and hide no unsafe operation', () => {
  // The coarsest map has one cell: BatchNorm makes a sign of two values, and rounding of any kind turns it.
  const tiny = syntheticBatch(BATCH, 3, 32, 3);
  const parts = detector(3, 'fp16', 'yolov8n');
  const report = preflight(detectorSubject(parts, tiny));
  assert.equal(report.line, 'AMP: checks passed', JSON.stringify(errors(report)));
  assert.ok(report.findings.some(({ code }) => code === 'DIRECTION_NOT_COMPARED'));
  plant(parts, 2, (x) => x.mul(0).add(20).exp().log().sub(20).add(x));
  const planted = preflight(detectorSubject(parts, tiny));
  assert.equal(planted.verdict, 'sound-with-islands', planted.line);
  assert.match(
    errors(planted)[0]!.message,
    /^exp runs in low precision in model\.2 \(largest operand 20\): the result leaves the range$/,
  );
});

test('a bias beyond 65504 overflows in fp16: its layer becomes an island', () => {
  const parts = detector(3, 'fp16');
  const last = (parts.model.head as Detect).cv3.at(0).at(2) as unknown as { bias: Tensor };
  noGrad(() => last.bias.put([0], 70000));
  const report = examine(parts);
  assert.equal(report.verdict, 'sound-with-islands', report.line);
  assert.deepEqual(
    report.plan!.rules.map(({ layers }) => layers),
    ['model.3.cv3.0.2'],
  );
});

test('islands by hand take part in the check, and are what it asks for', () => {
  const parts = detector(3, 'fp16');
  const last = (parts.model.head as Detect).cv3.at(0).at(2) as unknown as { bias: Tensor };
  noGrad(() => last.bias.put([0], 70000));
  const batch = syntheticBatch(BATCH, 3, IMGSZ, 3);
  const { verdict, plan } = checkParts(
    { ...parts, plan: planFromPatterns('float16', '*.cv3.0.2') },
    batch,
    IMGSZ,
    null,
  );
  assert.equal(verdict, 'sound');
  assert.equal(plan, null);
});

test('check takes a real batch, and finds its verdict again', async () => {
  const source = await openModel('yolov8n');
  const messages: string[] = [];
  const check = () =>
    checkDetector({
      source,
      options: { data, imgsz: IMGSZ, batch: 4, amp: 'bf16', device: 'cpu', workers: 0 },
      emit: (event) => event.event === 'message' && messages.push(event.text),
    });
  const first = await check();
  assert.equal(first.line, 'AMP: checks passed', JSON.stringify(errors(first)));
  assert.equal(first.cached, false);
  assert.equal(first.data, data);
  assert.deepEqual(first.model, { name: 'yolov8n', channels: 3 });
  assert.equal(first.numbers.batch, 4);
  assert.ok(first.findings.every(({ code }) => code !== 'SYNTHETIC_DATA'));
  const second = await check();
  assert.equal(second.cached, true);
  assert.deepEqual({ ...second, cached: false }, JSON.parse(JSON.stringify(first)));
  const verdicts = path.join(folder, 'home', 'preflight');
  for (const file of readdirSync(verdicts)) writeFileSync(path.join(verdicts, file), '{');
  const third = await check();
  assert.equal(third.cached, false);
  assert.match(third.cacheNote ?? '', /was damaged and is ignored$/);
});

test("a model of other channels than the data's: both numbers", async () => {
  const model = path.join(folder, 'grey.yaml');
  writeFileSync(model, JSON.stringify({ ...TINY, ch: 4 }));
  const report = await (await YOLO.load(model)).check({
    data,
    imgsz: IMGSZ,
    batch: 2,
    amp: 'bf16',
    device: 'cpu',
  });
  assert.equal(report.verdict, 'unavailable');
  assert.equal(
    report.line,
    `AMP: checks failed: consistency: model.0.conv of ${model} takes 4 channels, ${data} has 3`,
  );
  assert.deepEqual(report.findings[0]?.evidence, { layer: 'model.0.conv', expected: 4, given: 3 });
});

test('without a GPU, and without anything to check', {
  skip: cuda.isAvailable() && 'there is a GPU',
}, async () => {
  const model = await YOLO.load('yolov8n');
  const gpu = await model.check({ device: '0', imgsz: IMGSZ });
  assert.equal(gpu.line, 'AMP: checks failed: environment: device=cuda:0: LibTorch sees no CUDA device');
  assert.equal(gpu.findings[0]?.remedy, 'mezzo doctor says what was found and why; device=cpu always works');
  assert.equal(gpu.device, null);
  const off = await model.check({ amp: false, device: 'cpu', imgsz: IMGSZ });
  assert.equal(off.line, 'AMP: checks failed: environment: amp=false trains in float32');
  assert.equal(off.ok, false);
});

test('before a training: sound runs as asked, unsound in float32, both with the reason', async () => {
  const split = await scanSplit(await readDataYaml(data), 'train');
  const training = { split, batch: BATCH, imgsz: IMGSZ, channels: 3, workers: 0 } as const;
  const sound = detector(3);
  const passed = await checkBeforeTraining({ ...sound, ...training });
  assert.equal(passed.precision, sound.precision);
  assert.equal(passed.plan, null);
  assert.equal(passed.level, 'info');
  assert.match(passed.text, /^AMP: checks passed \(\d+\.\d s\)$/);
  const again = await checkBeforeTraining({ ...sound, ...training });
  assert.equal(again.text, 'AMP: checks passed (known from an earlier check)');

  const broken = detector(3, 'fp16');
  broken.model.aroundForward((proceed, inputs) => {
    const maps = proceed(...inputs) as { box: Tensor[]; cls: Tensor[] };
    return { ...maps, box: maps.box.map((map) => map.mul(40000).mul(40000).mul(1e-9)) };
  });
  const failed = await checkBeforeTraining({ ...broken, ...training });
  assert.equal(failed.level, 'warning');
  assert.equal(failed.plan, null);
  assert.deepEqual(failed.precision, {
    enabled: false,
    dtype: 'float32',
    scaler: false,
    channelsLast: true,
    reason: 'AMP: checks failed: numerics: the loss is NaN in float16, and finite in float32',
  });
  assert.match(
    failed.text,
    /^AMP: checks failed: numerics: .* \(\d+\.\d s\)\. Training in float32 instead; .*; check=false trains as asked$/,
  );

  const plantedIsland = detector(3, 'fp16');
  // A verdict is kept by weights: what is planted beside them is not seen.
  train(plantedIsland, 1);
  plant(plantedIsland, 2, (x) => x.mul(0).add(12).exp().log().sub(12).add(x));
  const cured = await checkBeforeTraining({ ...plantedIsland, ...training });
  assert.equal(cured.precision, plantedIsland.precision);
  assert.equal(cured.plan?.rules[0]?.layers, 'model.2');
  assert.match(cured.text, /^AMP: checks passed with /);
});
