import { readdir, readFile, stat } from 'node:fs/promises';
import path from 'node:path';
import { IMAGE_SUFFIXES } from '../data/image-files.ts';
import { SourceError } from './errors.ts';

const IMAGES: ReadonlySet<string> = new Set(IMAGE_SUFFIXES.map((suffix) => `.${suffix}`));
const VIDEOS = new Set('.asf .avi .gif .m4v .mkv .mov .mp4 .mpeg .mpg .ts .webm .wmv'.split(' '));
const ADDRESS = /^[a-z][a-z0-9+.-]+:\/\//i;
const STREAM = /^(rtsp|rtmp|tcp|udp|srt):\/\//i;
const WILDCARD = /[*?[{]/;

/**
 * The image files that a source names, in the order in which they are to be read.
 *
 * @param source an image file; a folder (its images, sorted); a pattern with `*`, `**`, `?`, `[…]` or `{a,b}` (sorted);
 *   a `.txt` list with one path a line, relative to the list; or several of these
 * @throws SourceError `SOURCE_MISSING`, `SOURCE_EMPTY`, `SOURCE_UNSUPPORTED`
 */
export async function listSources(source: string | readonly string[]): Promise<string[]> {
  const sources = typeof source === 'string' ? [source] : source;
  const lists = await Promise.all(sources.map(listOne));
  return lists.flat();
}

async function listOne(source: string): Promise<string[]> {
  refuseStreams(source);
  const found = await stat(source).catch(() => undefined);
  if (found?.isDirectory()) return listFolder(source);
  if (found !== undefined) return listFile(source);
  if (WILDCARD.test(source)) return listPattern(source);
  throw new SourceError('SOURCE_MISSING', `source ${source}: no such file or folder`, {
    hint: 'give an image, a folder, a pattern such as images/*.jpg, or a .txt list of images',
  });
}

/** Cameras, screens, streams and addresses, told by their spelling. */
function refuseStreams(source: string): void {
  const camera = /^\d+$/.test(source);
  const screen = /^screen\b/.test(source);
  if (!camera && !screen && !ADDRESS.test(source)) return;
  const input = camera
    ? `-f v4l2 -i /dev/video${source}`
    : screen
      ? '-f x11grab -i :0'
      : `-i ${quoted(source)}`;
  const download = ADDRESS.test(source) && !STREAM.test(source);
  throw new SourceError(
    'SOURCE_UNSUPPORTED',
    download
      ? `source ${source}: addresses are not read; download the file first (for a video, make pictures of it: ${framesLine(input)})`
      : `source ${source}: cameras, screens and streams are not read; make pictures first: ${framesLine(input)}`,
    { hint: download ? `curl -LO ${quoted(source)}` : framesLine(input) },
  );
}

async function listFile(file: string): Promise<string[]> {
  const suffix = path.extname(file).toLowerCase();
  return suffix === '.txt' ? listText(file) : [requireImage(file)];
}

function requireImage(file: string): string {
  const suffix = path.extname(file).toLowerCase();
  if (IMAGES.has(suffix)) return file;
  if (VIDEOS.has(suffix)) {
    const frames = framesLine(`-i ${quoted(file)}`);
    throw new SourceError(
      'SOURCE_UNSUPPORTED',
      `source ${file}: videos are not read; make pictures first: ${frames}`,
      {
        hint: frames,
      },
    );
  }
  throw new SourceError('SOURCE_UNSUPPORTED', `source ${file}: not an image by its name`, {
    hint: `known suffixes: ${[...IMAGES].join(' ')}; and .txt for a list of images`,
  });
}

async function listFolder(folder: string): Promise<string[]> {
  const names = (await readdir(folder)).filter((name) => IMAGES.has(path.extname(name).toLowerCase()));
  if (names.length === 0) {
    throw new SourceError('SOURCE_EMPTY', `source ${folder}: no images in this folder`, {
      hint: `known suffixes: ${[...IMAGES].join(' ')}; subfolders are not searched: use ${path.join(folder, '**', '*.jpg')}`,
    });
  }
  return names.sort().map((name) => path.join(folder, name));
}

async function listPattern(pattern: string): Promise<string[]> {
  const parts = path.normalize(pattern).split(path.sep);
  const fixed = parts.findIndex((part) => WILDCARD.test(part));
  const root = parts.slice(0, fixed).join(path.sep) || (path.isAbsolute(pattern) ? path.sep : '.');
  const matches = new RegExp(`^${patternSource(parts.slice(fixed).join('/'))}$`);
  const entries = await readdir(root, { recursive: parts.length - fixed > 1, withFileTypes: true }).catch(
    () => [],
  );
  const found = entries
    .filter((entry) => !entry.isDirectory() && IMAGES.has(path.extname(entry.name).toLowerCase()))
    .map((entry) => path.join(entry.parentPath, entry.name))
    .filter((file) => matches.test(path.relative(root, file).split(path.sep).join('/')));
  if (found.length === 0) {
    throw new SourceError('SOURCE_MISSING', `source ${pattern}: no image matches this pattern`, {
      hint: '* stands for any part of a name, ** for any folders',
    });
  }
  return found.sort();
}

async function listText(list: string): Promise<string[]> {
  const lines = (await readFile(list, 'utf8')).split('\n').map((line) => line.trim());
  const files: string[] = [];
  for (const [i, line] of lines.entries()) {
    if (line === '') continue;
    const file = path.resolve(path.dirname(list), line);
    const found = await stat(file).catch(() => undefined);
    if (!found?.isFile()) {
      throw new SourceError('SOURCE_MISSING', `${list}, line ${i + 1}: no such file: ${line}`, {
        hint: `paths are relative to the folder of the list, ${path.dirname(path.resolve(list))}`,
      });
    }
    files.push(requireImage(file));
  }
  if (files.length === 0) {
    throw new SourceError('SOURCE_EMPTY', `${list}: the list names no images`, {
      hint: 'write one path a line',
    });
  }
  return files;
}

/** A glob as the source of a regular expression over paths with `/`. */
function patternSource(glob: string): string {
  let depth = 0;
  return glob.replace(/\*\*\/|\*\*|\*|\?|\[!?[^\]]+\]|[{},]|[.+^$()|\\\]]/g, (token) => {
    if (token === '**/') return '(?:[^/]+/)*';
    if (token === '**') return '.*';
    if (token === '*') return '[^/]*';
    if (token === '?') return '[^/]';
    if (token.startsWith('[')) return token.replace(/^\[!/, '[^');
    if (token === '{') {
      depth++;
      return '(?:';
    }
    if (token === '}' && depth > 0) {
      depth--;
      return ')';
    }
    if (token === ',') return depth > 0 ? '|' : ',';
    return `\\${token}`;
  });
}

function framesLine(input: string): string {
  return `mkdir -p frames && ffmpeg ${input} -vf fps=5 frames/%06d.jpg`;
}

/** As one word of a shell command. */
function quoted(word: string): string {
  return /^[\w@%+=:,./-]+$/.test(word) ? word : `'${word.replaceAll("'", "'\\''")}'`;
}
