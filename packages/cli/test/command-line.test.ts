import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { test } from 'node:test';
import { ABSENT, CATALOGUE } from '../src/catalogue.ts';
import { mezzo, ROOT } from './mezzo.ts';

const TRAIN_HELP = 'mezzo train --help lists them';

test('mezzo, mezzo --help, mezzo -h and mezzo help show every command', async () => {
  const pages = await Promise.all([[], ['--help'], ['-h'], ['help']].map((words) => mezzo(words)));
  for (const page of pages) assert.deepEqual(page, pages[0]);
  assert.equal(pages[0]!.code, 0);
  assert.equal(pages[0]!.stderr, '');
  for (const { name, summary } of CATALOGUE) {
    assert.match(pages[0]!.stdout, new RegExp(`^ {2}${name} +${summary.replace(/[.*+?]/g, '\\$&')}$`, 'm'));
  }
});

test('every command has a page with usage, examples and options, by --help, -h and help', async () => {
  for (const { name } of CATALOGUE) {
    const page = await mezzo([name, '--help']);
    assert.equal(page.code, 0, name);
    assert.equal(page.stderr, '');
    assert.match(page.stdout, /^Usage\n {2}mezzo /);
    assert.match(page.stdout, /\nExamples\n {2}\S/);
    assert.match(page.stdout, /\n {2}json +results as JSON on stdout, nothing else there \[false\]\n/);
    for (const line of page.stdout.split('\n')) assert.ok(line.length <= 120, `${name}: ${line}`);
    assert.deepEqual(await mezzo([name, 'x=1', '-h']), page);
    // The word help is the option of that name here.
    if (name !== 'help') assert.deepEqual(await mezzo(['help', name]), page);
  }
});

test('the pages of train, val and predict show their own options and defaults', async () => {
  const { stdout } = await mezzo(['train', '--help']);
  assert.match(stdout, /\n {2}epochs=N +passes over the training images \[100\]\n/);
  assert.match(stdout, /\n {2}amp=true\|false\|fp16\|bf16\|fp32\|auto\n +mixed precision\./);
  assert.doesNotMatch(stdout, /\n {2}(source|copy_paste|mask_ratio)/);
  assert.match((await mezzo(['predict', '--help'])).stdout, /\n {2}conf=X +\S.* \[0\.25\]/);
  assert.match((await mezzo(['val', '--help'])).stdout, /\n {2}conf=X +\S.* \[0\.001\]/);
});

test('the version', async () => {
  const { version } = JSON.parse(readFileSync(`${ROOT}packages/cli/package.json`, 'utf8')) as {
    version: string;
  };
  for (const words of [['version'], ['--version'], ['-v']]) {
    assert.deepEqual(await mezzo(words), { code: 0, stdout: `mezzo ${version}\n`, stderr: '' });
  }
  assert.deepEqual(await mezzo(['version', '--json']), {
    code: 0,
    stdout: `{"version":"${version}"}\n`,
    stderr: '',
  });
});

test('wrong usage: one error, a hint, exit code 2, nothing on stdout', async () => {
  for (const [words, lines] of [
    [
      ['trian'],
      ["error: unknown command 'trian'; did you mean 'train'?", 'hint:  mezzo --help lists the commands'],
    ],
    [
      ['help', 'trian'],
      ["error: unknown command 'trian'", 'hint:  mezzo --help lists the commands'],
    ],
    [
      ['data=a.yaml', 'epochs=3'],
      ["error: 'data=a.yaml' stands where a command is expected", 'hint:  mezzo train data=a.yaml epochs=3'],
    ],
    [['train', 'data=a.yaml', 'epoch=3'], ["error: unknown option 'epoch'; did you mean 'epochs'?"]],
    [['yolo', 'detect', 'train', 'epoch=3'], ["error: unknown option 'epoch'; did you mean 'epochs'?"]],
    [['mode=train', 'epochs=ten'], ['error: epochs=ten: expected a whole number of at least 1']],
    [
      ['train', 'data=a.yaml', 'stray'],
      [
        "error: mezzo train does not know what to do with 'stray'",
        `hint:  options are written key=value or --key value; ${TRAIN_HELP}`,
      ],
    ],
    [
      ['train'],
      [
        'error: data= is missing: the data.yaml that names the images and classes',
        'hint:  no data at hand? mezzo data shapes --out shapes, then data=shapes/data.yaml',
      ],
    ],
    [
      ['train', 'data=a.yaml', 'mask_ratio=2'],
      [
        'error: mask_ratio=2: it belongs to segmentation, and Mezzo trains detectors',
        'hint:  leave mask_ratio out',
      ],
    ],
    [['train', 'cfg=nowhere.yaml'], ['error: cannot read nowhere.yaml: no such file']],
    [['val'], ['error: model= is missing: the weights to measure']],
    [['detect', 'source=a.jpg'], ['error: model= is missing: the weights to use']],
    [
      ['predict', 'model=a.safetensors'],
      ['error: source= is missing: an image, a folder, a pattern or a .txt list'],
    ],
    [['data'], ['error: mezzo data knows: shapes, night']],
    [
      ['data', 'shapes'],
      ['error: --out is missing: the folder to write', 'hint:  mezzo data shapes --out shapes'],
    ],
    [
      ['data', 'shapes', 'out=somewhere', 'preset=clear-ir'],
      [
        "error: 'preset' has no effect on mezzo data shapes",
        'hint:  its options: out, imgsz, seed, train, val',
      ],
    ],
    [
      ['data', 'night', 'out=somewhere', 'preset=day'],
      ['error: preset=day: expected one of night, clear-ir'],
    ],
    [
      ['bench', 'nothing'],
      ['error: mezzo bench runs one suite: overhead, step, epoch, loader, memory, infer, startup, amp, gpu'],
    ],
  ] as const) {
    assert.deepEqual(
      await mezzo(words),
      { code: 2, stdout: '', stderr: lines.map((line) => `${line}\n`).join('') },
      words.join(' '),
    );
  }
});

test('commands of other programs and of later versions get a sentence', async () => {
  for (const word of ['track', 'tune', 'segment', 'classify']) {
    assert.deepEqual(await mezzo([word, 'x=1']), { code: 2, stdout: '', stderr: `error: ${ABSENT[word]}\n` });
  }
});

test('with --json an error is one JSON line on stdout, wherever the word stands', async () => {
  const message = 'epochs=0: expected a whole number of at least 1';
  for (const words of [
    ['train', 'epochs=0', '--json'],
    ['--json', 'train', 'epochs=0'],
    ['train', 'json=true', 'epochs=0'],
  ]) {
    const { code, stdout, stderr } = await mezzo(words);
    assert.deepEqual([code, stderr], [2, '']);
    assert.deepEqual(JSON.parse(stdout), { event: 'error', code: 'BAD_OPTION', message });
    assert.equal(stdout.trim().split('\n').length, 1);
  }
});

test('colours only where somebody looks, or where they are asked for', async () => {
  const esc = String.fromCharCode(27);
  const plain = (await mezzo(['trian'])).stderr;
  const coloured = (await mezzo(['trian'], { FORCE_COLOR: '1' })).stderr;
  assert.equal(plain.includes(esc), false);
  assert.ok(coloured.startsWith(`${esc}[31merror:${esc}[0m `));
});

test('docs/cli.md knows every command', () => {
  const page = readFileSync(`${ROOT}docs/cli.md`, 'utf8');
  for (const { name } of CATALOGUE) assert.match(page, new RegExp(`mezzo ${name}\\b`), name);
});
