import assert from 'node:assert/strict';
import { mkdirSync, mkdtempSync, rmSync, utimesSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { after, test } from 'node:test';
import { createRunFolder, fileSystemError, findCheckpoints } from '../src/engine/run-folder.ts';
import { MezzoError } from '../src/index.ts';

const folder = mkdtempSync(path.join(tmpdir(), 'mezzo-run-'));
after(() => rmSync(folder, { recursive: true, force: true }));

const options = { project: path.join(folder, 'runs'), name: null, exist_ok: false };

test('run folders are numbered from the second on', () => {
  const names = [1, 2, 3].map(() => path.basename(createRunFolder('train', options)));
  assert.deepEqual(names, ['train', 'train2', 'train3']);
  assert.equal(path.basename(createRunFolder('val', options)), 'val');
});

test('exist_ok writes into an existing folder', () => {
  const again = createRunFolder('train', { ...options, exist_ok: true });
  assert.equal(path.basename(again), 'train');
});

test('a file where the folder should be is named', () => {
  const project = path.join(folder, 'file');
  writeFileSync(project, '');
  assert.throws(
    () => createRunFolder('train', { ...options, project }),
    (error: unknown) => {
      assert.ok(error instanceof MezzoError);
      assert.equal(error.code, 'NOT_A_FOLDER');
      assert.equal(error.message, `cannot write in ${project}: a file is in the way`);
      return true;
    },
  );
});

test('a folder that may not be written is named, with the way out', () => {
  // Nobody may make folders there, root included.
  const project = '/sys/mezzo';
  assert.throws(
    () => createRunFolder('train', { ...options, project }),
    (error: unknown) => {
      assert.ok(error instanceof MezzoError);
      assert.equal(error.code, 'NO_PERMISSION');
      assert.equal(error.message, `cannot write in ${project}: permission denied`);
      assert.equal(error.hint, 'choose another folder with project=DIR, or change its permissions');
      return true;
    },
  );
});

test('a full disk is named as such', () => {
  let failure: unknown;
  try {
    writeFileSync('/dev/full', 'x');
  } catch (error) {
    failure = fileSystemError(error, folder);
  }
  assert.ok(failure instanceof MezzoError);
  assert.equal(failure.code, 'DISK_FULL');
  assert.equal(failure.message, `cannot write in ${folder}: the disk is full`);
  assert.equal(failure.hint, 'free some space, or choose another disk with project=DIR');
});

test('checkpoints are found newest first', () => {
  const root = path.join(folder, 'found');
  for (const [i, name] of ['detect/train', 'detect/train2', 'other'].entries()) {
    const weights = path.join(root, name, 'weights');
    mkdirSync(weights, { recursive: true });
    writeFileSync(path.join(weights, 'last.safetensors'), '');
    utimesSync(path.join(weights, 'last.safetensors'), i, i);
  }
  const found = findCheckpoints(root).map((file) =>
    path.relative(root, file).split(path.sep).slice(0, -2).join('/'),
  );
  assert.deepEqual(found, ['other', 'detect/train2', 'detect/train']);
  assert.deepEqual(findCheckpoints(path.join(folder, 'none')), []);
});
