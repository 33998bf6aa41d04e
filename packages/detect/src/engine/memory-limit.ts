import { availableMemory } from '@mezzo/libtorch';
import { memory } from '@mezzo/torch';

/**
 * Left to the system, to Node and to what LibTorch takes past its allocator: scratch space of kernels, gaps between
 * blocks. YOLOv8n at 640 px took 480 MiB beside 1.2 GiB of tensors (batch 6), 640 MiB beside 3 GiB (batch 16).
 */
const RESERVE_SHARE = 1 / 4;
const LEAST_RESERVE = 512 * 2 ** 20;
/** Asking the kernel takes a fraction of a millisecond. */
const INTERVAL_MS = 1000;

/** Most bytes that tensors ever held: malloc keeps what was freed, and it can be taken again. */
let highest = 0;

/** Starts a new peak of the allocator from the bytes that are live now. */
export function resetPeak(): void {
  highest = Math.max(highest, memory.stats().peakBytes);
  memory.resetPeak();
}

/** Gives what was freed back to the system: blocks of other sizes would not find their place in its gaps. */
export function giveBack(): void {
  memory.collectGarbage();
  memory.trim();
  highest = memory.stats().liveBytes;
  memory.resetPeak();
}

/** Bytes that tensors on the host may take in all, live ones included. */
export function roomForTensors(): number {
  const { liveBytes, peakBytes, limitBytes } = memory.stats();
  if (limitBytes > 0) return limitBytes;
  highest = Math.max(highest, peakBytes);
  const kept = Math.max(0, Math.min(highest, process.memoryUsage.rss()) - liveBytes);
  const available = availableMemory();
  return liveBytes + kept + Math.max(0, available - Math.max(LEAST_RESERVE, available * RESERVE_SHARE));
}

/**
 * Turns the memory that this process may take (available to the system, and within its control group) into a limit
 * of LibTorch's allocator: an allocation beyond it is an error that a run survives, where the kernel would end the
 * process. A limit that was set before stays. Follows what other processes and Node itself take.
 */
export class HostMemoryLimit {
  private readonly given = memory.stats().limitBytes > 0;
  private asked = 0;

  constructor() {
    this.follow();
  }

  /** Sets the limit anew, once a second at most. */
  follow(): void {
    const now = performance.now();
    if (this.given || (this.asked > 0 && now - this.asked < INTERVAL_MS)) return;
    this.asked = now;
    memory.setLimit(0);
    memory.setLimit(Math.max(1, Math.floor(roomForTensors())));
  }

  /** Lifts it. */
  lift(): void {
    if (!this.given) memory.setLimit(0);
  }
}
