export { writeAtomically, writeFileAtomically } from './atomic.ts';
export {
  readSafetensorsHeader,
  SafetensorsError,
  type SafetensorsHeader,
  type TensorEntry,
} from './header.ts';
export * from './pt/index.ts';
export {
  type LoadedSafetensors,
  type LoadSafetensorsOptions,
  loadSafetensors,
  saveSafetensors,
} from './safetensors.ts';
