export { KerasError, type KerasErrorCode } from './errors.ts';
export * as keras from './keras.ts';
