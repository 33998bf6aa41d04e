import { existsSync } from 'node:fs';
import { readdir } from 'node:fs/promises';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';

/** The folder of the clone that this program was built in. */
export const CLONE = fileURLToPath(new URL('../../../../../', import.meta.url));

export interface TestFile {
  /** `torch/scope`: package, then the path without ending. */
  readonly name: string;
  readonly path: string;
  /** A campaign, run with `--long` only. */
  readonly long: boolean;
}

/** What has tests, in the order of the layers. */
const TESTED = ['libtorch', 'torch', 'precision', 'detect', 'keras', 'cli'].map((name) => ({
  name,
  folder: join(CLONE, 'packages', name),
}));
TESTED.push({ name: 'examples', folder: join(CLONE, 'examples') });

/**
 * Compiled test files of all packages and of the examples. Output whose source is gone does not count.
 * @param filters words of which one must be part of the name; all files when empty
 */
export async function findTestFiles(filters: readonly string[], long: boolean): Promise<TestFile[]> {
  const files: TestFile[] = [];
  for (const { name, folder } of TESTED) {
    const built = join(folder, 'dist', 'test');
    if (!existsSync(built)) continue;
    for (const entry of (await readdir(built, { recursive: true })).sort()) {
      if (!entry.endsWith('.test.js')) continue;
      const stem = entry.slice(0, -'.js'.length);
      if (!existsSync(join(folder, 'test', `${stem}.ts`))) continue;
      const bare = stem.slice(0, -'.test'.length);
      files.push({ name: `${name}/${bare}`, path: join(built, entry), long: bare.endsWith('.long') });
    }
  }
  return files
    .filter((file) => long || !file.long)
    .filter((file) => filters.length === 0 || filters.some((word) => file.name.includes(word)));
}
