/** A training picture made step by step from the reference functions, to hold the one-pass warp against. */
import { native } from '@mezzo/libtorch';
import type { LayerDraw, SampleDraw } from '../src/augment/draw.ts';
import { affineMatrix, fitLongSide, letterbox, mosaicTile, type Rectangle } from '../src/augment/geometry.ts';
import { hsvTables } from '../src/augment/hsv.ts';
import type { LayerImages, PictureLayers } from '../src/augment/plan.ts';
import { blankRaster, flip, jitterHsv, paste, type Raster, warpImage } from '../src/augment/reference.ts';
import { BORDER, resizeJob, type SourceImage } from '../src/augment/warp-job.ts';

/** Resize, mosaic or letterbox, affine warp, blend, paste inside a rectangle, colour, flips, one after another. */
export async function referencePicture(
  draw: SampleDraw,
  layers: PictureLayers,
  imgsz: number,
  pasted: Rectangle | null = null,
): Promise<Raster> {
  let picture = await layerPicture(draw.layer, layers.own, imgsz);
  if (draw.mixup) {
    const { weight, layer } = draw.mixup;
    const other = await layerPicture(layer, layers.mixup!, imgsz);
    picture.data = picture.data.map((level, i) => level * weight + other.data[i]! * (1 - weight));
  }
  if (draw.cutmix && pasted) {
    const other = await layerPicture(draw.cutmix.layer, layers.cutmix!, imgsz);
    paste(picture, other, pasted, pasted[0], pasted[1]);
  }
  if (draw.colour) {
    const { hue, saturation, value } = draw.colour;
    jitterHsv(picture, hsvTables([(hue + 0.5) / 180, saturation - 1, value - 1]));
  }
  if (draw.flipud) picture = flip(picture, false);
  if (draw.fliplr) picture = flip(picture, true);
  if (draw.bgr) {
    const { data } = picture;
    for (let i = 0; i < data.length; i += 3) [data[i], data[i + 2]] = [data[i + 2]!, data[i]!];
  }
  return picture;
}

async function layerPicture(draw: LayerDraw, images: LayerImages, imgsz: number): Promise<Raster> {
  const side = draw.mosaic ? 2 * imgsz : imgsz;
  const canvas = blankRaster(side, side, 3, BORDER);
  const output = { width: imgsz, height: imgsz };
  for (const [index, { source }] of (draw.mosaic ? images : images.slice(0, 1)).entries()) {
    const scaled = await resized(source!, imgsz);
    if (draw.mosaic) {
      const { canvas: place, tile } = mosaicTile(index, draw.mosaic.centre, imgsz, scaled);
      paste(canvas, scaled, tile, place[0], place[1]);
    } else {
      const { left, top } = letterbox(scaled, output);
      const whole: Rectangle = [0, 0, scaled.width, scaled.height];
      paste(canvas, scaled, whole, left, top);
    }
  }
  return warpImage(canvas, affineMatrix(draw.affine, canvas, output), output, BORDER);
}

async function resized(source: SourceImage, imgsz: number): Promise<Raster> {
  const size = fitLongSide(source, imgsz);
  const out = blankRaster(size.width, size.height, 3, 0);
  await native().imageLetterbox(out.data, resizeJob(source, size), source.pixels);
  return out;
}
