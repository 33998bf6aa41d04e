export { Generator } from './generator.ts';
export { forkRng, getRngState, initialSeed, manualSeed, setRngState } from './state.ts';
