/** Annotations in Pascal VOC's XML: one file an image. */
import { SaxesParser } from 'saxes';
import { addPixelBox, type LabelProblem, LabelRows, type Labels, statedSize } from './label-rows.ts';

export interface VocObject {
  name: string;
  difficult: boolean;
  /** Pixels, counted from 1. */
  box: [xmin: number, ymin: number, xmax: number, ymax: number];
  line: number;
}

export interface VocAnnotation {
  filename: string | null;
  size: { width: number; height: number } | null;
  objects: VocObject[];
}

const CORNERS = ['xmin', 'ymin', 'xmax', 'ymax'] as const;
const OBJECT = 'annotation/object';

/** The words of an object while it is read. */
interface OpenObject {
  line: number;
  words: Map<string, string>;
}

/** Thrown to leave the parser; never seen outside. */
class Malformed extends Error {
  readonly line: number;

  constructor(line: number, reason: string) {
    super(reason);
    this.line = line;
  }
}

/** Parses the text of an annotation; parts of an object (VOC's `part`) and unknown elements are passed over. */
export function parseVoc(text: string): VocAnnotation | LabelProblem {
  const annotation: VocAnnotation = { filename: null, size: null, objects: [] };
  const size = new Map<string, string>();
  const path: string[] = [];
  let open: OpenObject | null = null;
  let words = '';
  const parser = new SaxesParser({ position: true });
  parser.on('error', ({ message }) => {
    throw new Malformed(parser.line, `malformed XML: ${message.replace(/^\d+:\d+: /, '')}`);
  });
  parser.on('opentag', ({ name }) => {
    path.push(name);
    words = '';
    if (path.length === 1 && name !== 'annotation') {
      throw new Malformed(parser.line, `<${name}>, where <annotation> is expected`);
    }
    if (path.join('/') === OBJECT) open = { line: parser.line, words: new Map() };
  });
  const add = (more: string) => {
    words += more;
  };
  parser.on('text', add);
  parser.on('cdata', add);
  parser.on('closetag', () => {
    const where = path.join('/');
    const value = words.trim();
    if (where === 'annotation/filename') annotation.filename = value;
    else if (where.startsWith('annotation/size/')) size.set(path.at(-1)!, value);
    else if (where === OBJECT && open) annotation.objects.push(objectOf(open));
    else if (open && where.startsWith(`${OBJECT}/`)) open.words.set(where.slice(OBJECT.length + 1), value);
    words = '';
    path.pop();
  });
  try {
    parser.write(text).close();
  } catch (error) {
    if (error instanceof Malformed) return { line: error.line, reason: error.message };
    throw error;
  }
  annotation.size = { width: Number(size.get('width') ?? 0), height: Number(size.get('height') ?? 0) };
  return annotation;
}

function objectOf({ line, words }: OpenObject): VocObject {
  const name = words.get('name');
  if (name === undefined || name === '') throw new Malformed(line, 'an object without a <name>');
  const box = CORNERS.map((corner) => {
    const word = words.get(`bndbox/${corner}`);
    if (word === undefined) throw new Malformed(line, `object '${name}' has no <${corner}>`);
    const value = Number(word);
    if (word === '' || !Number.isFinite(value)) {
      throw new Malformed(line, `<${corner}> of object '${name}' is '${word}', not a number`);
    }
    return value;
  }) as VocObject['box'];
  return { name, difficult: Number(words.get('difficult') ?? 0) === 1, box, line };
}

/**
 * The rows of an annotation. As in the reference, pixels count from 1 (the centre moves by one), difficult objects and
 * classes that the data set does not name are left out.
 */
export function vocLabels(
  text: string,
  picture: { width: number; height: number },
  names: readonly string[],
): Labels | LabelProblem {
  const annotation = parseVoc(text);
  if ('reason' in annotation) return annotation;
  const size = statedSize(annotation.size, picture);
  if ('reason' in size) return size;
  const labels = new LabelRows();
  for (const { name, difficult, box, line } of annotation.objects) {
    const cls = names.indexOf(name);
    if (cls < 0) {
      labels.leave(`object of another class ('${name}')`, line);
      continue;
    }
    if (difficult) {
      labels.leave('difficult object', line);
      continue;
    }
    const [x1, y1, x2, y2] = box;
    const placed = {
      centre: [(x1 + x2) / 2 - 1, (y1 + y2) / 2 - 1],
      box: [x2 - x1, y2 - y1],
      line,
    } as const;
    const reason = addPixelBox(labels, cls, placed, size);
    if (reason !== null) return { line, reason };
  }
  return labels.labels;
}
