import { type Gpu, type NvidiaProbe, parseNvidia, probeNvidia } from './nvidia.ts';

/**
 * The number by which CUDA knows the visible card with the least memory in use, the first one of several; null where
 * the driver does not answer.
 */
export function idlestGpu(probe: NvidiaProbe = probeNvidia()): number | null {
  const { gpus } = parseNvidia(probe);
  const cards = inCudaOrder(gpus, probe.visible);
  if (cards.length === 0) return null;
  const idlest = cards.reduce((best, card) => (card.memoryUsed < best.memoryUsed ? card : best));
  return cards.indexOf(idlest);
}

/** The visible cards as CUDA counts them: in the order of CUDA_VISIBLE_DEVICES, else in their own. */
function inCudaOrder(gpus: readonly Gpu[], visible: string | null): Gpu[] {
  const seen = gpus.filter((gpu) => gpu.visible);
  if (visible === null) return seen;
  const places = visible.split(',').map((entry) => entry.trim());
  const placeOf = ({ index, uuid }: Gpu) =>
    places.findIndex(
      (entry) => entry === String(index) || (entry.startsWith('GPU-') && uuid.startsWith(entry)),
    );
  return seen.sort((a, b) => placeOf(a) - placeOf(b));
}
