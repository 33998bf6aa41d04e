import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { mkdtempSync, readdirSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { after, test } from 'node:test';
import { mezzo, ROOT } from './mezzo.ts';

const folder = mkdtempSync(path.join(tmpdir(), 'mezzo-examples-'));
after(() => rmSync(folder, { recursive: true, force: true }));

test('mezzo example amp learns, and leaves no tensor behind', async () => {
  const { code, stdout } = await mezzo(['example', 'amp'], {}, folder);
  assert.equal(code, 0);
  const lines = [...stdout.matchAll(/^step (\d+): loss ([\d.]+), (\d+) tensors$/gm)].map((line) =>
    line.slice(1).map(Number),
  );
  assert.deepEqual(
    lines.map(([step]) => step),
    [0, 50, 100, 150, 200],
  );
  assert.ok(lines.at(-1)![1]! < lines[0]![1]! / 20);
  // Fewer, once the garbage of the beginning is collected; never more.
  assert.ok(lines.at(-1)![2]! <= lines[0]![2]!);
});

test('without a name, all examples are listed with what they are', async () => {
  const { code, stdout } = await mezzo(['example'], {}, folder);
  assert.equal(code, 0);
  const files = readdirSync(path.join(ROOT, 'examples')).filter((file) => file.endsWith('.ts'));
  const names = files.map((file) => file.slice(0, -3)).filter((name) => name !== 'lesson');
  assert.ok(names.length >= 6);
  for (const name of names) assert.match(stdout, new RegExp(`^  ${name} +[A-Z].*\\.$`, 'm'));
  const listed = JSON.parse((await mezzo(['example', '--json'], {}, folder)).stdout) as Record<string, Row[]>;
  assert.deepEqual([...listed.programs!, ...listed.lessons!].map(({ name }) => name).sort(), names.sort());
  for (const { source } of listed.lessons!) assert.ok(source.length > 10, source);
});

interface Row {
  readonly name: string;
  readonly source: string;
}

interface Side {
  readonly dtype: string;
  readonly trainings: { seed: number; seconds: number; peakBytes: number }[];
}

test('a lesson is trained in both precisions with every seed; one document on stdout and in the file', async () => {
  const words = ['example', 'regression', 'seeds=0,3', 'device=cpu', '--json', '--out', 'report.json'];
  const { code, stdout } = await mezzo(words, {}, folder);
  assert.equal(code, 0);
  const { passed, seeds, examples } = JSON.parse(stdout) as {
    passed: boolean;
    seeds: number[];
    examples: { name: string; fp32: Side; amp: Side }[];
  };
  assert.deepEqual([passed, seeds, examples.length, examples[0]!.name], [true, [0, 3], 1, 'regression']);
  const { fp32, amp } = examples[0]!;
  assert.deepEqual([fp32.dtype, amp.dtype], ['float32', 'bfloat16']);
  for (const { trainings } of [fp32, amp]) {
    assert.deepEqual(
      trainings.map(({ seed }) => seed),
      [0, 3],
    );
    for (const { seconds, peakBytes } of trainings) assert.ok(seconds > 0 && peakBytes > 0);
  }
  assert.deepEqual(JSON.parse(readFileSync(path.join(folder, 'report.json'), 'utf8')), JSON.parse(stdout));
});

test('an example that is not there is named, and so is an option of a program', async () => {
  const { code, stderr } = await mezzo(['example', 'anp'], {}, folder);
  assert.equal(code, 2);
  assert.match(
    stderr,
    /error: there is no example 'anp'; did you mean 'amp'\?\nhint: {2}mezzo example lists them\n$/,
  );
  const program = await mezzo(['example', 'amp', 'seeds=1'], {}, folder);
  assert.equal(program.code, 2);
  assert.match(program.stderr, /error: the example amp is a whole program and has no option seeds\n$/);
  const device = await mezzo(['example', 'regression', 'device=cuda:99'], {}, folder);
  assert.equal(device.code, 2);
  assert.match(device.stderr, /error: device=cuda:99: LibTorch sees /);
});

test('Ctrl-C ends a run with 130', async () => {
  const many = Array.from({ length: 50 }, (_, seed) => seed).join(',');
  const child = spawn(`${ROOT}mezzo`, ['example', 'regression', `seeds=${many}`], {
    cwd: folder,
    stdio: ['ignore', 'pipe', 'pipe'],
  });
  let stderr = '';
  child.stderr.on('data', (part: Buffer) => {
    stderr += part.toString();
  });
  child.stdout.once('data', () => child.kill('SIGINT'));
  const code = await new Promise((resolve) => child.on('close', resolve));
  assert.equal(code, 130, stderr);
  assert.match(stderr, /\nStopping\.\nerror: the example regression was interrupted\n$/);
});

test('an example is at most 120 lines', () => {
  const examples = path.join(ROOT, 'examples');
  for (const file of readdirSync(examples).filter((name) => name.endsWith('.ts'))) {
    const lines = readFileSync(path.join(examples, file), 'utf8').trimEnd().split('\n').length;
    assert.ok(lines <= 120, `${file}: ${lines} lines`);
  }
});
