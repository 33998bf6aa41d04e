import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after } from 'node:test';

/** A folder that is removed when the test file is done, and paths in it. */
export function scratch(): { folder: string; at: (name: string) => string } {
  const folder = mkdtempSync(join(tmpdir(), 'mezzo-test-'));
  after(() => rmSync(folder, { recursive: true, force: true }));
  return { folder, at: (name) => join(folder, name) };
}
