/** One generated pair: a street at night in visible light and in infrared, and its labels. */
import { CounterRandom } from '../../augment/random.ts';
import { Canvas } from './canvas.ts';
import { lightAt, type Pool } from './light.ts';
import type { Thing } from './parts.ts';
import { NIGHT_CLASSES, type NightPreset } from './presets.ts';
import { composeScene, type NightObject } from './scene.ts';
import { infraredPicture, visiblePicture } from './sensor.ts';
import { paintGround } from './street.ts';

export interface NightPair {
  /** RGB, interleaved. */
  visible: Uint8Array;
  /** One channel. */
  infrared: Uint8Array;
  objects: NightObject[];
  /** Rows `class cx cy w h`, normalised, of the visible picture. */
  labels: [number, number, number, number, number][];
}

/** Draws the pairs of a preset, all into the same working memory. */
export class NightPainter {
  private readonly preset: NightPreset;
  private readonly seed: number;
  private readonly canvas: Canvas;

  /** `side` is that of the square pictures, in pixels. */
  constructor(preset: NightPreset, side: number, seed: number) {
    this.preset = preset;
    this.seed = seed;
    this.canvas = new Canvas(side);
  }

  /** Pair `sample` of a split: the same arguments give the same pixels, on every machine. */
  draw(split: number, sample: number): NightPair {
    const { preset, canvas } = this;
    const random = new CounterRandom(this.seed, 'night', split, sample);
    const scene = composeScene(preset, random);
    paintGround(canvas, scene.camera, scene.pools, scene.moonlight, random);
    for (const thing of scene.things) paintThing(canvas, thing, scene.pools, scene.moonlight);
    return {
      visible: visiblePicture(canvas, scene.halos, preset, random),
      infrared: infraredPicture(canvas, preset, random),
      objects: scene.objects,
      labels: scene.objects.map(labelOf),
    };
  }
}

function paintThing(canvas: Canvas, { parts, foot }: Thing, pools: readonly Pool[], moonlight: number): void {
  for (const { shape, albedo, glow, heat, opacity = 1, heatOpacity = 1 } of parts) {
    const x = middleOf(shape);
    const [r, g, b] = lightAt(pools, moonlight, [x, foot[1]]);
    const [ownR, ownG, ownB] = glow ?? [0, 0, 0];
    const light = [albedo[0] * r + ownR, albedo[1] * g + ownG, albedo[2] * b + ownB] as const;
    canvas.paint(shape, { light, opacity, heat, heatOpacity });
  }
}

function middleOf(shape: Thing['parts'][number]['shape']): number {
  if (shape.kind === 'ellipse') return shape.centre[0];
  if (shape.kind === 'capsule') return (shape.from[0] + shape.to[0]) / 2;
  return shape.points.reduce((sum, [x]) => sum + x, 0) / shape.points.length;
}

function labelOf({ cls, box }: NightObject): [number, number, number, number, number] {
  const [x1, y1, x2, y2] = box.map((v) => Math.min(1, Math.max(0, v))) as [number, number, number, number];
  return [NIGHT_CLASSES.indexOf(cls), (x1 + x2) / 2, (y1 + y2) / 2, x2 - x1, y2 - y1];
}
