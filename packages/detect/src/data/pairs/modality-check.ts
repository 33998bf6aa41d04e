/** Suspicions about pairs that only their pixels can raise. */
import sharp from 'sharp';

export interface PairFiles {
  visible: string;
  infrared: string;
}

const SAMPLES = 12;
const SIDE = 64;
/** Mean distance of a pixel's largest and smallest colour: below the first it is grey, above the second coloured. */
const GREY = 1;
const COLOURED = 2.5;
/** Mean difference of two pictures, in levels, below which they are the same. */
const SAME = 1.5;

/**
 * Looks at a few pairs, reduced: whether the visible pictures are grey and the infrared ones coloured, as if they were
 * swapped, or both the same. Pairs that cannot be decoded do not count. Returns what to tell a person.
 */
export async function suspicions(pairs: readonly PairFiles[]): Promise<string[]> {
  const step = Math.max(1, Math.floor(pairs.length / SAMPLES));
  const chosen = pairs.filter((_, i) => i % step === 0).slice(0, SAMPLES);
  const looks = (await Promise.all(chosen.map(look))).filter((found) => found !== null);
  if (looks.length === 0) return [];
  const swapped = looks.every(({ visible, infrared }) => visible < GREY && infrared > COLOURED);
  const same = looks.every(({ difference }) => difference < SAME);
  const of = `${looks.length} ${looks.length === 1 ? 'pair' : 'pairs'} looked at`;
  return [
    ...(swapped
      ? [
          `the modalities seem to be swapped: the visible pictures are grey, the infrared ones coloured (${of})`,
        ]
      : []),
    ...(same ? [`both pictures of a pair show the same (${of})`] : []),
  ];
}

interface Look {
  /** Colourfulness of both pictures. */
  visible: number;
  infrared: number;
  difference: number;
}

async function look({ visible, infrared }: PairFiles): Promise<Look | null> {
  try {
    const [a, b] = await Promise.all([small(visible), small(infrared)]);
    let difference = 0;
    for (const [i, level] of a.entries()) difference += Math.abs(level - b[i]!);
    return { visible: colourfulness(a), infrared: colourfulness(b), difference: difference / a.length };
  } catch {
    // The scan looks at every file's header, and training at every pixel: both report what is broken.
    return null;
  }
}

async function small(file: string): Promise<Uint8Array> {
  const { data } = await sharp(file, { ignoreIcc: true })
    .autoOrient()
    .removeAlpha()
    .toColourspace('srgb')
    .resize(SIDE, SIDE, { fit: 'fill' })
    .raw()
    .toBuffer({ resolveWithObject: true });
  return data;
}

function colourfulness(pixels: Uint8Array): number {
  let sum = 0;
  for (let i = 0; i < pixels.length; i += 3) {
    const [r, g, b] = [pixels[i]!, pixels[i + 1]!, pixels[i + 2]!];
    sum += Math.max(r, g, b) - Math.min(r, g, b);
  }
  return sum / (pixels.length / 3);
}
