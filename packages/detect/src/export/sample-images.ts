import { native } from '@mezzo/libtorch';
import { scope, type Tensor, tensor } from '@mezzo/torch';
import { letterbox } from '../augment/geometry.ts';
import { letterboxJob } from '../augment/warp-job.ts';
import { groupChannels } from '../data/decode.ts';
import type { DetectionModel } from '../models/build.ts';
import { syntheticBatch } from '../precision/synthetic-batch.ts';
import { readImage } from '../predict/image.ts';
import { listSources } from '../predict/sources.ts';

/** Pictures that are made up when none are given, and the most that are taken of those that are. */
const MADE_UP = 4;
const MOST = 20;

/** Pictures of a source fitted into a square, or made-up ones: each [1, ch, imgsz, imgsz] in 0 … 1. */
export async function sampleImages(
  model: DetectionModel,
  imgsz: number,
  source: string | null,
): Promise<Tensor[]> {
  if (source === null) {
    return scope(() => {
      const { images } = syntheticBatch(MADE_UP, model.ch, imgsz, model.nc);
      return Array.from({ length: MADE_UP }, (_, i) => images.narrow(0, i, 1).float().div(255).contiguous());
    });
  }
  const samples: Tensor[] = [];
  for (const file of (await listSources(source)).slice(0, MOST))
    samples.push(await fitted(file, model, imgsz));
  return samples;
}

async function fitted(file: string, model: DetectionModel, imgsz: number): Promise<Tensor> {
  const pixels = await readImage(file, model.ch);
  const square = { width: imgsz, height: imgsz };
  const out = new Uint8Array(model.ch * imgsz * imgsz);
  const job = letterboxJob(pixels, letterbox(pixels, square), square, model.ch);
  await native().imageLetterbox(out, job, groupChannels(pixels).pixels);
  return scope(() => {
    const images = tensor(out, { shape: [1, imgsz, imgsz, model.ch] });
    return images.permute([0, 3, 1, 2]).float().div(255).contiguous();
  });
}
