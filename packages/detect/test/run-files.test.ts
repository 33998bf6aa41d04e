import assert from 'node:assert/strict';
import {
  appendFileSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  truncateSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { after, describe, it } from 'node:test';
import fc from 'fast-check';
import type { EpochEvent } from '../src/engine/event.ts';
import { EventLog, readEvents } from '../src/engine/events.ts';
import { ResultsFile, readResults, resultsRow } from '../src/engine/results.ts';
import { TensorBoardLog } from '../src/engine/tensorboard.ts';
import { formatGeneral } from '../src/plots/general-format.ts';

const folder = mkdtempSync(path.join(tmpdir(), 'mezzo-run-'));
after(() => rmSync(folder, { recursive: true }));

function epochEvent(epoch: number, scale: number | null = null): EpochEvent {
  return {
    event: 'epoch',
    epoch,
    epochs: 40,
    losses: { box: 1.234567891, cls: 2, dfl: Number.NaN },
    valLosses: { box: 0.00001234567, cls: 3e9, dfl: Number.POSITIVE_INFINITY },
    precision: 0.5,
    recall: 0.25,
    map50: 0.123456789,
    map: 0,
    images: 87,
    instances: 1138,
    lr: [0.01, 0.001, 0.1],
    scale,
    skipped: 2,
    seconds: 12.3456789,
    imagesPerSecond: 16,
    waitShare: 0.125,
    phases: { data: 0.5, forward: 2, backward: 3, optimizer: 0.25, validation: 4 },
    peakBytes: 123_456_789,
    best: true,
  };
}

const HEADER =
  'epoch,time,train/box_loss,train/cls_loss,train/dfl_loss,metrics/precision(B),metrics/recall(B),' +
  'metrics/mAP50(B),metrics/mAP50-95(B),val/box_loss,val/cls_loss,val/dfl_loss,lr/pg0,lr/pg1,lr/pg2,' +
  'amp/scale,amp/skipped,mem/peak_mb,time/epoch_s,time/images_per_s,time/wait_share,time/data_s,' +
  'time/forward_s,time/backward_s,time/optimizer_s,time/validation_s';

describe('results.csv', () => {
  const file = path.join(folder, 'results.csv');

  it("has Ultralytics' columns, then Mezzo's, and six significant digits", () => {
    const results = new ResultsFile(file);
    results.append(resultsRow(epochEvent(1), 12.5));
    results.append(resultsRow(epochEvent(2, 65536), 25));
    results.close();
    assert.equal(
      readFileSync(file, 'utf8'),
      `${HEADER}\n` +
        '1,12.5,1.23457,2,nan,0.5,0.25,0.123457,0,1.23457e-05,3e+09,inf,0.01,0.001,0.1,1,2,123.457,12.3457,16,0.125,0.5,2,3,0.25,4\n' +
        '2,25,1.23457,2,nan,0.5,0.25,0.123457,0,1.23457e-05,3e+09,inf,0.01,0.001,0.1,65536,2,123.457,12.3457,16,0.125,0.5,2,3,0.25,4\n',
    );
  });

  it('reads back', () => {
    const history = readResults(file);
    assert.deepEqual(history.epochs, [1, 2]);
    assert.deepEqual(history.columns.get('amp/scale'), [1, 65536]);
    assert.deepEqual(history.columns.get('train/dfl_loss'), [Number.NaN, Number.NaN]);
    assert.deepEqual(history.columns.get('val/dfl_loss'), [Infinity, Infinity]);
  });

  it('is cut back to the epochs of a checkpoint, a torn line included', () => {
    appendFileSync(file, '3,37.5,1.2');
    assert.deepEqual(readResults(file).epochs, [1, 2]);
    const results = new ResultsFile(file, 1);
    results.append(resultsRow(epochEvent(2, 32768), 24));
    results.close();
    const lines = readFileSync(file, 'utf8').split('\n');
    assert.deepEqual([lines.length, lines[0], lines[3]], [4, HEADER, '']);
    assert.deepEqual(readResults(file).columns.get('amp/scale'), [1, 32768]);
  });

  it('keeps its columns when a run goes on where there is a card to be watched, or none any more', () => {
    const gpu = { utilization: 0.87, memoryUsed: 9e9 };
    const before = readFileSync(file, 'utf8');
    const results = new ResultsFile(file, 1);
    results.append(resultsRow({ ...epochEvent(2), gpu }, 24));
    results.close();
    const [header, first, second] = readFileSync(file, 'utf8').split('\n');
    assert.deepEqual([header, first], before.split('\n').slice(0, 2));
    assert.equal(second!.split(',').length, HEADER.split(',').length);

    const watched = path.join(folder, 'watched.csv');
    const both = new ResultsFile(watched);
    both.append(resultsRow({ ...epochEvent(1), gpu }, 12));
    both.append(resultsRow(epochEvent(2), 24));
    both.close();
    const { columns } = readResults(watched);
    assert.deepEqual([...columns.keys()].slice(-2), ['gpu/utilization', 'gpu/mem_mb']);
    assert.deepEqual(columns.get('gpu/utilization'), [0.87, Number.NaN]);
    assert.deepEqual(columns.get('gpu/mem_mb'), [9000, Number.NaN]);
  });

  it('starts over when there was no checkpoint', () => {
    new ResultsFile(file).close();
    assert.equal(readFileSync(file, 'utf8'), '');
    assert.deepEqual(readResults(file).epochs, []);
  });
});

describe('formatGeneral', () => {
  it('writes what printf writes', () => {
    const cases: [number, string][] = [
      [0, '0'],
      [-0, '-0'],
      [1, '1'],
      [100000, '100000'],
      [999999.5, '1e+06'],
      [1000000, '1e+06'],
      [0.0001, '0.0001'],
      [0.00001, '1e-05'],
      [123456.7, '123457'],
      [-1.5e-7, '-1.5e-07'],
      [1e100, '1e+100'],
      [Number.NaN, 'nan'],
      [Number.NEGATIVE_INFINITY, '-inf'],
    ];
    for (const [value, text] of cases) assert.equal(formatGeneral(value, 6), text);
  });

  it('keeps six digits', () => {
    fc.assert(
      fc.property(fc.double({ noNaN: true, noDefaultInfinity: true, min: -1e300, max: 1e300 }), (value) => {
        // compared as numbers, for which -0 is 0
        assert.ok(Number(formatGeneral(value, 6)) === Number(value.toPrecision(6)), String(value));
      }),
    );
  });
});

describe('events.jsonl', () => {
  const file = path.join(folder, 'events.jsonl');

  it('holds one object per line', () => {
    const log = new EventLog(file);
    log.append({ step: 1, loss: 1.5 });
    log.append({ step: 2, loss: Number.NaN, name: 'ä\n' });
    assert.equal(log.position, readFileSync(file).length);
    log.close();
    assert.equal(readFileSync(file, 'utf8'), '{"step":1,"loss":1.5}\n{"step":2,"loss":null,"name":"ä\\n"}\n');
  });

  it('is cut back to a position', () => {
    const log = new EventLog(file, 22);
    log.append({ step: 3 });
    log.close();
    assert.deepEqual(readEvents(file), [{ step: 1, loss: 1.5 }, { step: 3 }]);
  });

  it('loses nothing but a torn line when it is shorter than the position', () => {
    appendFileSync(file, '{"step":4,"lo');
    assert.deepEqual(readEvents(file).length, 2);
    const log = new EventLog(file, 1000);
    log.append({ step: 4 });
    log.close();
    assert.deepEqual(readEvents(file), [{ step: 1, loss: 1.5 }, { step: 3 }, { step: 4 }]);
  });

  it('names the folder that cannot be written', () => {
    const missing = path.join(folder, 'results.csv', 'events.jsonl');
    assert.throws(() => new EventLog(missing), {
      code: 'NOT_A_FOLDER',
      message: `cannot write in ${missing}: a file is in the way`,
    });
  });
});

describe('TensorBoard file', () => {
  const runs = mkdtempSync(path.join(folder, 'tensorboard-'));
  const values = [
    ['train/box_loss', 1.25],
    ['amp/scale', 65536],
  ] as const;
  /** The same point written by TensorBoard 2.21.0. */
  const record = Buffer.from(
    '3700000000000000e7e8ca590900006040fc54d94110ac022a290a150a0e747261696e2f626f785f6c6f7373150000a03f0a100a09616d702f7363616c6515000080478f276423',
    'hex',
  );

  /** A picture of 640 x 480, written by TensorBoard 2.21.0. */
  const PICTURE =
    '300000000000000095f5d05f0900006040fc54d94110072a230a210a0f70696374757265732f6c6162656c73220e08e0031080051803220489504e47107138e2';

  it('holds the bytes that TensorBoard writes', () => {
    const log = new TensorBoardLog(runs);
    const start = log.position.bytes;
    log.scalars(300, values, 1700000001.5);
    log.close();
    const [name] = readdirSync(runs);
    assert.match(name!, /^events\.out\.tfevents\.\d+\./);
    const bytes = readFileSync(path.join(runs, name!));
    assert.deepEqual(bytes.subarray(start), record);
    assert.ok(bytes.subarray(0, start).includes('brain.Event:2'));
  });

  it('holds pictures as TensorBoard writes them', () => {
    const folder = mkdtempSync(path.join(runs, 'picture-'));
    const log = new TensorBoardLog(folder);
    const start = log.position.bytes;
    const bytes = Uint8Array.of(0x89, 0x50, 0x4e, 0x47);
    log.image(7, 'pictures/labels', { bytes, width: 640, height: 480 }, 1700000001.5);
    log.close();
    const written = readFileSync(path.join(folder, log.position.file));
    assert.equal(written.subarray(start).toString('hex'), PICTURE);
    rmSync(folder, { recursive: true });
  });

  it('goes on from a checkpoint in the same file', () => {
    const name = readdirSync(runs)[0]!;
    const file = path.join(runs, name);
    const start = readFileSync(file).length - record.length;
    const log = new TensorBoardLog(runs, { file: name, bytes: start });
    log.scalars(300, values, 1700000001.5);
    assert.deepEqual(log.position, { file: name, bytes: start + record.length });
    log.close();
    assert.deepEqual(readFileSync(file).subarray(start), record);
    assert.deepEqual(readdirSync(runs), [name]);
  });

  it('drops a torn record', () => {
    const name = readdirSync(runs)[0]!;
    const file = path.join(runs, name);
    const length = readFileSync(file).length;
    truncateSync(file, length - 3);
    const log = new TensorBoardLog(runs, { file: name, bytes: length });
    assert.equal(log.position.bytes, length - record.length);
    log.close();
  });

  it('starts over in the named file when it is gone', () => {
    writeFileSync(path.join(runs, 'gone'), '');
    const log = new TensorBoardLog(runs, { file: 'gone', bytes: 500 });
    assert.ok(log.position.bytes > 0 && log.position.bytes < 100);
    log.close();
  });
});
