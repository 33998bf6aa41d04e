/** The LibTorch versions that Mezzo's one C++ source builds against, both included. */
export const SUPPORTED = { first: '2.10', last: '2.15' } as const;

/** `[major, minor]` of a version text such as `2.15.0+cu132`; undefined when it is none. */
export function majorMinor(version: string): [number, number] | undefined {
  const match = /^\s*(\d+)\.(\d+)/.exec(version);
  return match ? [Number(match[1]), Number(match[2])] : undefined;
}

/** -1, 0 or 1 as version `a` is older than, equal to or newer than `b`, by major and minor only. */
export function compareVersions(a: string, b: string): number {
  const [left, right] = [majorMinor(a), majorMinor(b)];
  if (!left || !right) throw new RangeError(`not a version: ${left ? b : a}`);
  return Math.sign(left[0] - right[0] || left[1] - right[1]);
}

/**
 * Whether a LibTorch version is in the supported range. The patch level never counts: builds misreport it.
 */
export function isSupported(version: string): boolean {
  return (
    majorMinor(version) !== undefined &&
    compareVersions(version, SUPPORTED.first) >= 0 &&
    compareVersions(version, SUPPORTED.last) <= 0
  );
}
