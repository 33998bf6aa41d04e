/** How many channels the pictures have that a network sees. */
import { DataError } from './errors.ts';

/** Channels of colour, which every data set has unless its yaml says otherwise. */
export const COLOUR_CHANNELS = 3;

/** The most that images may have: a damaged header cannot ask for more memory than that. */
export const MOST_CHANNELS = 1024;

/** Networks of one channel see colour as grey, networks of three see grey three times. */
export function fitsColour(channels: number): boolean {
  return channels === 1 || channels === COLOUR_CHANNELS;
}

/** Can data of so many channels (null: its yaml says nothing) be shown to a network of `own`? */
export function channelsFit(own: number, data: number | null): boolean {
  const given = data ?? COLOUR_CHANNELS;
  return given === own || (fitsColour(given) && fitsColour(own));
}

/**
 * Channels of a network for a data set: its own, where it states them and the data can be brought to them.
 * @param own what the network states; null for one that is built for the data
 * @param data the channels that its yaml states; null when it says nothing
 * @throws {DataError} naming both numbers
 */
export function networkChannels(
  own: number | null,
  { file, channels }: { file: string; channels: number | null },
): number {
  if (own === null) return channels ?? COLOUR_CHANNELS;
  if (channelsFit(own, channels)) return own;
  const given = channels ?? COLOUR_CHANNELS;
  throw new DataError(`the model takes ${own} channel${own === 1 ? '' : 's'}, ${file} has ${given}`, {
    hint:
      channels === null
        ? `if its images have ${own} channels, write 'channels: ${own}' into the yaml`
        : 'take a model of that many channels; one that is named (model=yolov8n) is built for the data',
  });
}
