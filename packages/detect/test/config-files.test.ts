import assert from 'node:assert/strict';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, test } from 'node:test';
import { fileURLToPath } from 'node:url';
import {
  COMMAND_LINE_OPTIONS,
  formatSettings,
  joinLayers,
  parseWords,
  resolveSettings,
  Spellings,
  type TrainSettings,
} from '../src/config/index.ts';

const folder = mkdtempSync(join(tmpdir(), 'mezzo-config-'));
after(() => rmSync(folder, { recursive: true }));

const spellings = new Spellings(COMMAND_LINE_OPTIONS);

function written(name: string, text: string): string {
  const path = join(folder, name);
  writeFileSync(path, text);
  return path;
}

function options(command: 'train' | 'val' | 'predict', ...words: string[]) {
  return joinLayers(command, parseWords(words, spellings).assignments);
}

async function refusal(...words: string[]): Promise<string> {
  try {
    await options('train', ...words);
  } catch (error) {
    const { code, message } = error as Error & { code: string };
    return `${code}: ${message.replaceAll(folder, '.')}`;
  }
  return 'accepted';
}

test("an args.yaml of Ultralytics 8.4.190 is read whole; what is at the table's default is not set", async () => {
  const args = fileURLToPath(new URL('../../test/fixtures/args-8.4.190.yaml', import.meta.url));
  assert.deepEqual(await options('train', `cfg=${args}`), {
    model: 'tiny.yaml',
    data: 'bccd.yaml',
    epochs: 5,
    batch: 4,
    imgsz: 128,
    device: 'cpu',
    name: 'train',
  });
  // One file serves every command: epochs say nothing to val, and rect=false is what the file holds of train.
  const val = await options('val', `cfg=${args}`);
  assert.deepEqual(val, {
    model: 'tiny.yaml',
    data: 'bccd.yaml',
    batch: 4,
    imgsz: 128,
    device: 'cpu',
    name: 'train',
  });
  assert.equal(resolveSettings('val', val).rect, true);
});

test('the command line wins over hyp, and hyp over cfg', async () => {
  const cfg = written('cfg.yaml', 'epochs: 10\nlr0: 0.02\nmosaic: 0.5\n');
  const hyp = written('hyp.yaml', 'lr0: 0.03\nbox: 5\n');
  assert.deepEqual(await options('train', `cfg=${cfg}`, `--hyp=${hyp}`, 'epochs=20'), {
    epochs: 20,
    lr0: 0.03,
    mosaic: 0.5,
    box: 5,
  });
});

test('a network description given as cfg is the model', async () => {
  const network = written('small.yaml', 'nc: 3\nbackbone: []\nhead: []\n');
  assert.deepEqual(await options('train', '--cfg', network), { model: network });
  assert.equal(
    await refusal('--hyp', network),
    'BAD_CONFIG_FILE: ./small.yaml describes a network, not hyperparameters',
  );
});

test('faults name the file and the line', async () => {
  for (const [name, text, message] of [
    [
      'a.yaml',
      'epochs: 3\nepochz: 4\n',
      "UNKNOWN_OPTION: ./a.yaml:2: unknown option 'epochz'; did you mean 'epochs'?",
    ],
    [
      'b.yaml',
      '# run\n\nepochs: ten\n',
      'BAD_OPTION: ./b.yaml:3: epochs=ten: expected a whole number of at least 1',
    ],
    [
      'c.yaml',
      'pose: 6\n',
      'UNSUPPORTED_OPTION: ./c.yaml:1: pose=6: it belongs to pose estimation, and Mezzo trains detectors',
    ],
    [
      'd.yaml',
      'epochs: [1\n',
      'BAD_CONFIG_FILE: ./d.yaml:2: Flow sequence in block collection must be sufficiently indented and end with a ]',
    ],
    ['e.yaml', '- epochs\n', "BAD_CONFIG_FILE: ./e.yaml: expected lines of the form 'option: value'"],
    ['f.yaml', 'epochs: 1\nepochs: 2\n', 'BAD_CONFIG_FILE: ./f.yaml:2: Map keys must be unique'],
  ] as const) {
    assert.equal(await refusal(`cfg=${written(name, text)}`), message);
  }
  assert.equal(
    await refusal(`cfg=${folder}/none.yaml`),
    'BAD_CONFIG_FILE: cannot read ./none.yaml: no such file',
  );
  assert.equal(await refusal(`cfg=${folder}`), 'BAD_CONFIG_FILE: cannot read .: it is a folder');
});

test('what a run writes as args.yaml gives the same settings when read', async () => {
  const settings = resolveSettings('train', {
    data: 'my data/set #1.yaml',
    name: '12',
    epochs: 7,
    lr0: 1e-7,
    amp: 'fp16',
    freeze: [0, 3],
    recipe: '8.3',
    device: 0,
    resume: true,
  });
  const path = written('args.yaml', formatSettings('train', settings));
  const again = resolveSettings('train', (await options('train', `cfg=${path}`)) as object);
  assert.deepEqual(again, settings satisfies TrainSettings);
});
