import assert from 'node:assert/strict';
import { mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { after, before, describe, test } from 'node:test';
import { noGrad, setNumThreads } from '@mezzo/torch';
import { cachedPreflight, type PreflightSubject, preflight, preflightCacheFile } from '../src/index.ts';
import { subjectOf } from './preflight-subject.ts';

before(() => setNumThreads(1));

describe('the cache', () => {
  const home = mkdtempSync(path.join(tmpdir(), 'mezzo-preflight-'));
  const before_ = process.env.MEZZO_HOME;
  before(() => {
    process.env.MEZZO_HOME = home;
  });
  after(() => {
    if (before_ === undefined) delete process.env.MEZZO_HOME;
    else process.env.MEZZO_HOME = before_;
    rmSync(home, { recursive: true, force: true });
  });

  const keyOf = ({ model }: PreflightSubject) =>
    ({ model, device: 'cpu', low: 'bfloat16', imgsz: 16, batch: 4 }) as const;

  test('a verdict is found again; other weights, settings or structure make another', () => {
    const subject = subjectOf();
    const file = preflightCacheFile(keyOf(subject));
    const first = cachedPreflight(file, () => preflight(subject));
    assert.equal(first.cached, false);
    const second = cachedPreflight(file, () => assert.fail('it was in the cache'));
    assert.equal(second.cached, true);
    assert.deepEqual(second.report, JSON.parse(JSON.stringify(first.report)));
    assert.equal(preflightCacheFile(keyOf(subject)), file);
    const others = [
      preflightCacheFile({ ...keyOf(subject), batch: 5 }),
      preflightCacheFile({ ...keyOf(subject), low: 'float16' }),
      preflightCacheFile({ ...keyOf(subject), further: { data: 'a.yaml' } }),
      preflightCacheFile(keyOf(subjectOf({ channels: 1 }))),
    ];
    noGrad(() => subject.model.parameters()[0]!.add_(1e-3));
    others.push(preflightCacheFile(keyOf(subject)));
    assert.equal(new Set([file, ...others]).size, 6);
  });

  test('a damaged file is ignored with a note, and replaced', () => {
    const subject = subjectOf();
    const file = preflightCacheFile(keyOf(subject));
    for (const damage of ['', '{"format":1', '{"format":1,"report":{}}', '[]']) {
      writeFileSync(file, damage);
      const { cached, note } = cachedPreflight(file, () => preflight(subject));
      assert.equal(cached, false);
      assert.equal(note, `the cached verdict ${file} was damaged and is ignored`);
      assert.equal(JSON.parse(readFileSync(file, 'utf8')).report.verdict, 'sound');
    }
    assert.deepEqual(
      readdirSync(path.dirname(file)).filter((name) => !name.endsWith('.json')),
      [],
    );
  });

  test('what the machine lacked is not kept, and a folder that cannot be written costs a note', () => {
    const subject = subjectOf({ loss: (output) => output.square() });
    const file = preflightCacheFile({ ...keyOf(subject), imgsz: 17 });
    assert.equal(cachedPreflight(file, () => preflight(subject)).cached, false);
    assert.equal(cachedPreflight(file, () => preflight(subject)).cached, false);
    const blocked = path.join(file, 'below', 'x.json');
    writeFileSync(file, '');
    const { note, report } = cachedPreflight(blocked, () => preflight(subjectOf()));
    assert.equal(report.verdict, 'sound');
    assert.match(note ?? '', /ENOTDIR/);
  });
});
