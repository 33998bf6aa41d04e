/** Windows bitmaps as other programs write them. */

export interface Bitmap {
  width: number;
  height: number;
  bits: number;
  /** Rows as they lie in the file, without their padding. */
  rows: readonly (readonly number[])[];
  topDown?: boolean;
  palette?: readonly number[];
  compression?: number;
  masks?: readonly number[];
}

export function bmpFile({
  width,
  height,
  bits,
  rows,
  topDown,
  palette = [],
  compression = 0,
  masks = [],
}: Bitmap): Buffer {
  const head = Buffer.alloc(54 + 4 * masks.length);
  head.write('BM');
  head.writeUInt32LE(head.length + palette.length, 10);
  head.writeUInt32LE(40, 14);
  head.writeInt32LE(width, 18);
  head.writeInt32LE(topDown ? -height : height, 22);
  head.writeUInt16LE(1, 26);
  head.writeUInt16LE(bits, 28);
  head.writeUInt32LE(compression, 30);
  for (const [i, mask] of masks.entries()) head.writeUInt32LE(mask, 54 + 4 * i);
  const padded = rows.map((row) =>
    Buffer.concat([Buffer.from(row), Buffer.alloc((4 - (row.length % 4)) % 4)]),
  );
  return Buffer.concat([head, Buffer.from(palette), ...padded]);
}
