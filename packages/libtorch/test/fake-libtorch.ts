import { execFileSync } from 'node:child_process';
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import type { TestContext } from 'node:test';

/** A folder that is removed when the test ends. */
export function temporaryFolder(t: TestContext): string {
  const folder = mkdtempSync(path.join(tmpdir(), 'mezzo-test-'));
  t.after(() => rmSync(folder, { recursive: true, force: true }));
  return folder;
}

/** The files by which LibTorch is recognised, in the form of a wheel: `version.py` names version and CUDA. */
export function fakeWheel(folder: string, version: string, cuda: string | null = null): string {
  fakeFolders(folder);
  const text = `from typing import Optional\n__version__ = '${version}'\ncuda: Optional[str] = ${cuda ? `'${cuda}'` : 'None'}\n`;
  writeFileSync(path.join(folder, 'version.py'), text);
  return folder;
}

/** The same in the form of an unpacked archive: `build-version`. */
export function fakeArchive(folder: string, version: string): string {
  fakeFolders(folder);
  writeFileSync(path.join(folder, 'build-version'), `${version}\n`);
  return folder;
}

function fakeFolders(folder: string): void {
  mkdirSync(path.join(folder, 'lib'), { recursive: true });
  mkdirSync(path.join(folder, 'include/ATen/core/dispatch'), { recursive: true });
  writeFileSync(path.join(folder, 'include/ATen/core/dispatch/Dispatcher.h'), '#pragma once\n');
  for (const name of ['libc10.so', 'libtorch_cpu.so']) writeFileSync(path.join(folder, 'lib', name), '');
}

/** A fake wheel whose libraries can be linked against: each is an empty shared object. */
export function linkableWheel(folder: string, version: string): string {
  fakeWheel(folder, version);
  const empty = path.join(folder, 'empty.c');
  writeFileSync(empty, '');
  for (const name of ['libc10.so', 'libtorch_cpu.so']) {
    execFileSync('g++', ['-x', 'c', '-shared', '-fPIC', empty, '-o', path.join(folder, 'lib', name)]);
  }
  return folder;
}
