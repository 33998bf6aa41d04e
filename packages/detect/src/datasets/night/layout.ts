/** The folders of a generated set: those of YOLOFuse, with YOLO labels, or those of LLVIP, with VOC XML. */
import { NIGHT_CLASSES } from './presets.ts';

export interface LabelFile {
  /** The picture that it belongs to. */
  image: string;
  side: number;
  /** Rows `class cx cy w h`, normalised. */
  rows: readonly (readonly number[])[];
}

export interface NightLayout {
  /** Folders of a split, below that of the set. */
  visible: Record<'train' | 'val', string>;
  infrared: Record<'train' | 'val', string>;
  labels: Record<'train' | 'val', string>;
  labelSuffix: string;
  stem: (split: 'train' | 'val', sample: number) => string;
  label: (file: LabelFile) => string;
}

export const NIGHT_LAYOUTS = {
  yolofuse: {
    visible: { train: 'images/train', val: 'images/val' },
    infrared: { train: 'imagesIR/train', val: 'imagesIR/val' },
    labels: { train: 'labels/train', val: 'labels/val' },
    labelSuffix: '.txt',
    stem: (_, sample) => String(sample).padStart(5, '0'),
    label: yoloLabel,
  },
  llvip: {
    visible: { train: 'visible/train', val: 'visible/test' },
    infrared: { train: 'infrared/train', val: 'infrared/test' },
    labels: { train: 'Annotations', val: 'Annotations' },
    labelSuffix: '.xml',
    // Labels of both splits lie in one folder: the first digit tells them apart.
    stem: (split, sample) => `${split === 'train' ? 0 : 1}${String(sample).padStart(5, '0')}`,
    label: vocLabel,
  },
} as const satisfies Record<string, NightLayout>;

export type NightLayoutName = keyof typeof NIGHT_LAYOUTS;

function yoloLabel({ rows }: LabelFile): string {
  return rows.map(([id, ...box]) => `${id} ${box.map((v) => v.toFixed(6)).join(' ')}\n`).join('');
}

/** Pascal VOC: the box's edges in whole pixels, counted from 1. */
function vocLabel({ image, side, rows }: LabelFile): string {
  const objects = rows.flatMap(([id, cx, cy, w, h]) => {
    const edge = (place: number) => Math.round(place * side) + 1;
    return [
      '\t<object>',
      `\t\t<name>${NIGHT_CLASSES[id!]}</name>`,
      '\t\t<difficult>0</difficult>',
      '\t\t<bndbox>',
      `\t\t\t<xmin>${edge(cx! - w! / 2)}</xmin>`,
      `\t\t\t<ymin>${edge(cy! - h! / 2)}</ymin>`,
      `\t\t\t<xmax>${edge(cx! + w! / 2)}</xmax>`,
      `\t\t\t<ymax>${edge(cy! + h! / 2)}</ymax>`,
      '\t\t</bndbox>',
      '\t</object>',
    ];
  });
  const size = [
    '\t<size>',
    `\t\t<width>${side}</width>`,
    `\t\t<height>${side}</height>`,
    '\t\t<depth>3</depth>',
    '\t</size>',
  ];
  return ['<annotation>', `\t<filename>${image}</filename>`, ...size, ...objects, '</annotation>', ''].join(
    '\n',
  );
}
