import { availableMemory } from '@mezzo/libtorch';
import type { TrainSettings } from '../config/index.ts';
import { decodedBytes, ImageStore } from '../data/image-store.ts';
import type { LabelledImage } from '../data/scan.ts';
import type { TrainEvent } from './event.ts';
import { readableSize } from './memory-size.ts';

/** Where the decoded images of a run are kept. */
export interface ImageCache {
  /** The setting that the run has: false where what was asked for does not fit. */
  readonly setting: TrainSettings['cache'];
  readonly ram: boolean;
  /** On disk: training images reduced to the training size, validation images as they are. */
  readonly train: ImageStore | null;
  readonly val: ImageStore | null;
}

export interface ImageCacheRequest {
  readonly setting: TrainSettings['cache'];
  readonly train: readonly LabelledImage[];
  readonly val: readonly LabelledImage[];
  readonly imgsz: number;
  readonly channels: number;
  /** A resumed run keeps its setting, which decides the partners of mosaics, even where the memory is short now. */
  readonly resumed?: boolean;
  /** Bytes of memory that may be taken, if not asked of the system. */
  readonly available?: number;
  /** Folder of the files, if not the user's cache folder. */
  readonly folder?: string;
}

/** Part of the available memory that images may fill: the training itself needs some. */
const MEMORY_PART = 2 / 3;
/** Validation images are kept as they are. */
const WHOLE = 0;

export const keepsInMemory = (setting: TrainSettings['cache']): boolean =>
  setting === true || setting === 'ram';

/** Finds out whether `cache=` fits into memory or onto the disk. What does not fit is left out, and said. */
export async function openImageCache(
  request: ImageCacheRequest,
  emit: (event: TrainEvent) => void,
): Promise<ImageCache> {
  const { setting } = request;
  const none = { setting: false, ram: false, train: null, val: null } as const;
  if (setting === false) return none;
  const tell = (level: 'info' | 'warning', text: string) => emit({ event: 'message', level, text });
  if (keepsInMemory(setting)) {
    const room = Math.floor((request.available ?? availableMemory()) * MEMORY_PART);
    const needed = bytesInMemory(request);
    if (needed <= room) {
      tell('info', `cache=ram: the decoded images take ${readableSize(needed)} of memory`);
      return { ...none, setting, ram: true };
    }
    tell('warning', `cache=ram: ${tooLarge(needed, room, 'of memory')}, cache=disk may fit`);
    return request.resumed ? { ...none, setting } : none;
  }
  return (await openStores(request, tell)) ?? none;
}

function bytesInMemory({ train, val, imgsz, channels }: ImageCacheRequest): number {
  const bytes = (images: readonly LabelledImage[], side: number) =>
    images.reduce((sum, image) => sum + decodedBytes(image, side, channels), 0);
  return bytes(train, imgsz) + bytes(val, WHOLE);
}

async function openStores(
  { train, val, imgsz, channels, folder }: ImageCacheRequest,
  tell: (level: 'info' | 'warning', text: string) => void,
): Promise<ImageCache | null> {
  let told = false;
  const onProblem = (reason: string) => {
    if (!told) tell('warning', `cache=disk: ${reason}; going on without further files`);
    told = true;
  };
  const common = { channels, onProblem, ...(folder === undefined ? {} : { folder }) };
  const stores = {
    train: new ImageStore({ ...common, imgsz }),
    val: new ImageStore({ ...common, imgsz: WHOLE }),
  };
  try {
    const rooms = [await stores.train.room(train), await stores.val.room(val)];
    const needed = rooms.reduce((sum, room) => sum + room.needed, 0);
    const free = Math.min(...rooms.map((room) => room.free));
    const where = stores.train.folder;
    if (needed > free) {
      tell(
        'warning',
        `cache=disk: ${tooLarge(needed, free, `in ${where}`)}, MEZZO_HOME names another folder`,
      );
      return null;
    }
    const state =
      needed === 0 ? 'all decoded images are there' : `the decoded images take ${readableSize(needed)} more`;
    tell('info', `cache=disk: ${where}, ${state}`);
    return { setting: 'disk', ram: false, ...stores };
  } catch (error) {
    tell('warning', `cache=disk: ${(error as Error).message}; going on without`);
    return null;
  }
}

const tooLarge = (needed: number, room: number, where: string): string =>
  `the decoded images take ${readableSize(needed)}, and there are ${readableSize(room)} ${where} for them; going on without`;
