import { native } from '@mezzo/libtorch';
import { scope, type Tensor, tensor } from '@mezzo/torch';
import { letterbox } from '../augment/geometry.ts';
import { letterboxJob } from '../augment/warp-job.ts';
import { groupChannels } from '../data/decode.ts';
import type { Decoding } from '../data/decode-as.ts';
import { silence } from '../data/pairs/silence.ts';
import type { DetectionModel } from '../models/build.ts';
import { syntheticBatch } from '../precision/synthetic-batch.ts';
import { readImage } from '../predict/image.ts';
import { type ImagePair, readPair } from '../predict/pair-image.ts';
import { listPairs } from '../predict/pair-sources.ts';
import { listSources } from '../predict/sources.ts';

/** Pictures that are made up when none are given, and the most that are taken of those that are. */
const MADE_UP = 4;
const MOST = 20;

/** Pictures of a source fitted into a square, or made-up ones: each [1, ch, imgsz, imgsz] in 0 … 1. */
export async function sampleImages(
  model: DetectionModel,
  imgsz: number,
  source: string | null,
  decoding: Decoding = 'plain',
): Promise<Tensor[]> {
  if (source === null) {
    return scope(() => {
      const { images } = syntheticBatch(MADE_UP, model.ch, imgsz, model.nc);
      return Array.from({ length: MADE_UP }, (_, i) => images.narrow(0, i, 1).float().div(255).contiguous());
    });
  }
  const samples: Tensor[] = [];
  const dual = model.description.table.modalities !== undefined;
  const pictures = dual ? (await listPairs(source, null)).pairs : await listSources(source);
  for (const picture of pictures.slice(0, MOST)) {
    samples.push(await fitted(picture, model, imgsz, decoding));
  }
  return samples;
}

async function fitted(
  picture: string | ImagePair,
  model: DetectionModel,
  imgsz: number,
  decoding: Decoding,
): Promise<Tensor> {
  const { image, missing } =
    typeof picture === 'string'
      ? { image: groupChannels(await readImage(picture, model.ch, decoding)), missing: null }
      : await readPair(picture);
  const square = { width: imgsz, height: imgsz };
  const out = new Uint8Array(model.ch * imgsz * imgsz);
  const job = letterboxJob(image, letterbox(image, square), square, model.ch);
  await native().imageLetterbox(out, job, image.pixels);
  if (missing !== null) silence(out, model.ch, missing);
  return scope(() => {
    const images = tensor(out, { shape: [1, imgsz, imgsz, model.ch] });
    return images.permute([0, 3, 1, 2]).float().div(255).contiguous();
  });
}
