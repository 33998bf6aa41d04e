/**
 * Remembers what a scan found, image by image, in the user's cache folder. An entry holds while the image and its
 * labels keep their content. Files whose size, times and inode are as before are trusted without reading: a change of
 * content always moves the change time. Of others (copied, touched, checked out anew) the content decides: a SHA-256 of
 * all that the finding was made of, the labels and of the image its size, beginning and end.
 */
import { createHash } from 'node:crypto';
import { mkdir, open, readFile, rename, rm, writeFile } from 'node:fs/promises';
import path from 'node:path';
import { mezzoHome } from '@mezzo/libtorch';
import type { Fault, Inspected } from './inspect-image.ts';
import { stampOf } from './label-source.ts';
import type { ListedImage } from './split-source.ts';

type Finding = Inspected | Fault;
interface Entry {
  stamp: string;
  content: string;
  finding: Inspected;
}
interface CacheFile {
  version: number;
  entries: Record<string, Entry>;
}

const VERSION = 2;
// A file changed within the clock's grain of a scan could change again unseen.
const SETTLED_NS = 1_000_000_000n;
const UNSETTLED = '';
/** Bytes of an image's beginning and end that its header and its completeness are read from. */
const END_BYTES = 16384;

/** Where the findings about a split are kept: by its sources, and all that findings depend on besides files. */
export function cacheFile(...about: readonly unknown[]): string {
  const key = createHash('sha256').update(JSON.stringify(about)).digest('hex').slice(0, 24);
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
  async find(listed: ListedImage, inspect: () => Promise<Finding>): Promise<Finding> {
    const { image } = listed;
    const remembered = this.known.get(image);
    const stamp = await stateOf(listed);
    if (remembered && stamp !== UNSETTLED && remembered.stamp === stamp) return this.keep(image, remembered);
    this.changed = true;
    const content = await contentOf(listed);
    if (remembered && content !== null && remembered.content === content) {
      return this.keep(image, { ...remembered, stamp });
    }
    const finding = await inspect();
    // Faulty images are few, and looked at again: their owner is about to mend them.
    if (content !== null && !('reason' in finding)) this.entries[image] = { stamp, content, finding };
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

  private keep(image: string, entry: Entry): Inspected {
    this.hits++;
    this.entries[image] = entry;
    return entry.finding;
  }
}

/** Identifies the state of an image and its labels without reading them; `UNSETTLED` when that cannot be trusted. */
async function stateOf({ image, labels }: ListedImage): Promise<string> {
  const [picture, label] = await Promise.all([stampOf(image), labels.stamp()]);
  if (picture === null) return UNSETTLED;
  const latest = label && label.changed > picture.changed ? label.changed : picture.changed;
  const settled = BigInt(Date.now()) * 1_000_000n - latest > SETTLED_NS;
  return settled ? `${picture.text} ${sha256(label?.text ?? '-')}` : UNSETTLED;
}

/** Hash of what a finding is made of; null when that cannot be read: why is told by the inspection. */
async function contentOf({ image, labels }: ListedImage): Promise<string | null> {
  try {
    const text = await labels.read();
    const handle = await open(image);
    try {
      const { size } = await handle.stat();
      const hash = createHash('sha256').update(`${size} ${text === null ? 'none' : sha256(text)} `);
      const buffer = Buffer.alloc(END_BYTES);
      for (const position of new Set([0, Math.max(0, size - END_BYTES)])) {
        const { bytesRead } = await handle.read(buffer, 0, END_BYTES, position);
        hash.update(buffer.subarray(0, bytesRead));
      }
      return hash.digest('base64url');
    } finally {
      await handle.close();
    }
  } catch {
    return null;
  }
}

function sha256(text: string): string {
  return createHash('sha256').update(text).digest('base64url');
}
