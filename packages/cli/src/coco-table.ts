/** A row of the summary that pycocotools prints. */
interface Row {
  readonly key: string;
  readonly kind: 'Precision' | 'Recall';
  readonly iou?: string;
  readonly area?: string;
  readonly maxDets?: number;
}

const ROWS: readonly Row[] = [
  { key: 'AP', kind: 'Precision' },
  { key: 'AP50', kind: 'Precision', iou: '0.50' },
  { key: 'AP75', kind: 'Precision', iou: '0.75' },
  { key: 'APs', kind: 'Precision', area: 'small' },
  { key: 'APm', kind: 'Precision', area: 'medium' },
  { key: 'APl', kind: 'Precision', area: 'large' },
  { key: 'AR1', kind: 'Recall', maxDets: 1 },
  { key: 'AR10', kind: 'Recall', maxDets: 10 },
  { key: 'AR100', kind: 'Recall' },
  { key: 'ARs', kind: 'Recall', area: 'small' },
  { key: 'ARm', kind: 'Recall', area: 'medium' },
  { key: 'ARl', kind: 'Recall', area: 'large' },
];

/** The twelve COCO numbers in the lines of pycocotools' summary. */
export function cocoTable(stats: Readonly<Record<string, number>>): string[] {
  return ROWS.map(({ key, kind, iou = '0.50:0.95', area = 'all', maxDets = 100 }) => {
    const title = `Average ${kind}`.padEnd(18);
    const short = kind === 'Precision' ? '(AP)' : '(AR)';
    const where = `IoU=${iou.padEnd(9)} | area=${area.padStart(6)} | maxDets=${String(maxDets).padStart(3)}`;
    return ` ${title} ${short} @[ ${where} ] = ${(stats[key] ?? Number.NaN).toFixed(3)}`;
  });
}
