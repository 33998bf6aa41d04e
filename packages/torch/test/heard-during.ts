import { setWarningHandler, type Warning } from '../src/index.ts';

/** The warnings that `run` gives. */
export function heardDuring(run: () => void): Warning[] {
  const heard: Warning[] = [];
  setWarningHandler((warning) => heard.push(warning));
  try {
    run();
  } finally {
    setWarningHandler(null);
  }
  return heard;
}
