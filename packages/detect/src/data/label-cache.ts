/**
 * Remembers what a scan found, image by image, in the user's cache folder. An entry holds as long as the image
 * and its label file keep their size, times and inode: a change of content always moves the change time.
 */
import { createHash } from 'node:crypto';
import type { BigIntStats } from 'node:fs';
import { mkdir, readFile, rename, rm, stat, writeFile } from 'node:fs/promises';
import path from 'node:path';
import { mezzoHome } from '@mezzo/libtorch';
import { type Fault, type Inspected, labelPath } from './inspect-image.ts';

type Finding = Inspected | Fault;
interface Entry {
  stamp: string;
  finding: Finding;
}
interface CacheFile {
  version: number;
  entries: Record<string, Entry>;
}

const VERSION = 1;
// A file changed within the clock's grain of a scan could change again unseen.
const SETTLED_NS = 1_000_000_000n;

/** Where the findings about a split are kept: its images, and the number of classes that rows were checked for. */
export function cacheFile(sources: readonly string[], classes: number): string {
  const key = createHash('sha256')
    .update(JSON.stringify([sources, classes]))
    .digest('hex')
    .slice(0, 24);
  return path.join(mezzoHome(), 'labels', `${key}.json`);
}

export class LabelCache {
  private readonly file: string;
  private readonly known: Map<string, Entry>;
  private readonly entries: Record<string, Entry> = {};
  private changed = false;
  /** Images whose finding was still valid. */
  hits = 0;

  private constructor(file: string, known: Map<string, Entry>) {
    this.file = file;
    this.known = known;
  }

  /** Opens a cache; a file that is missing, damaged, unreadable or older counts as empty: it is made again. */
  static async open(file: string): Promise<LabelCache> {
    try {
      const parsed = JSON.parse(await readFile(file, 'utf8')) as CacheFile;
      if (parsed.version === VERSION) return new LabelCache(file, new Map(Object.entries(parsed.entries)));
    } catch {
      // What prevents reading also prevents saving, which reports it.
    }
    return new LabelCache(file, new Map());
  }

  /** The finding about an image: the remembered one while it is valid, else that of `inspect`. */
  async find(image: string, inspect: () => Promise<Finding>): Promise<Finding> {
    const stamp = await stampOf(image);
    const remembered = this.known.get(image);
    if (stamp !== null && remembered?.stamp === stamp.text) {
      this.hits++;
      this.entries[image] = remembered;
      return remembered.finding;
    }
    const finding = await inspect();
    this.changed = true;
    if (stamp?.settled) this.entries[image] = { stamp: stamp.text, finding };
    return finding;
  }

  /** Writes the findings of this scan, if there are new ones; another scan never sees half a file. */
  async save(): Promise<void> {
    if (!this.changed && this.hits === this.known.size) return;
    await mkdir(path.dirname(this.file), { recursive: true });
    const temporary = `${this.file}.${process.pid}.tmp`;
    const content: CacheFile = { version: VERSION, entries: this.entries };
    try {
      await writeFile(temporary, JSON.stringify(content));
      await rename(temporary, this.file);
    } catch (error) {
      await rm(temporary, { force: true });
      throw error;
    }
  }
}

/** Identifies the state of an image and its label file; null when the image is not there. */
async function stampOf(image: string): Promise<{ text: string; settled: boolean } | null> {
  const [picture, label] = await Promise.all([look(image), look(labelPath(image))]);
  if (picture === null) return null;
  const parts = [picture, label].map((s) => (s ? `${s.size} ${s.mtimeNs} ${s.ctimeNs} ${s.ino}` : '-'));
  const latest = label && label.ctimeNs > picture.ctimeNs ? label.ctimeNs : picture.ctimeNs;
  return { text: parts.join(' '), settled: BigInt(Date.now()) * 1_000_000n - latest > SETTLED_NS };
}

/** The state of a file; null when it cannot be looked at: why is found out, and told, when it is read. */
async function look(file: string): Promise<BigIntStats | null> {
  return stat(file, { bigint: true }).catch(() => null);
}
