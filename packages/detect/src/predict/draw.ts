import { type DrawnBox, type DrawOptions, svgBoxes } from '../plots/boxes.ts';
import { asSharp, type RawImage, toRgb } from '../plots/raster.ts';

/**
 * Draws boxes and their labels. The first box of the list lies on top, so that the most confident ones stay readable.
 *
 * @returns a new RGB image
 */
export async function drawBoxes(
  image: RawImage,
  boxes: readonly DrawnBox[],
  options: DrawOptions = {},
): Promise<RawImage> {
  const rgb = toRgb(image);
  if (boxes.length === 0) return { ...rgb, data: Uint8Array.from(rgb.data) };
  const { width, height } = rgb;
  const overlay = `<svg xmlns="http://www.w3.org/2000/svg" width="${width}" height="${height}">${svgBoxes(boxes, rgb, options)}</svg>`;
  const data = await asSharp(rgb)
    .composite([{ input: Buffer.from(overlay) }])
    .removeAlpha()
    .raw()
    .toBuffer();
  return { data, width, height, channels: 3 };
}
