export { type ExportReport, exportDetector, exportFormat } from './export-detector.ts';
export { FORMAT_NAMES } from './formats.ts';
export type { HalfReport } from './half-fit.ts';
export { type OnnxModel, type OnnxOptions, onnxModel } from './onnx.ts';
export type { SuppressionOptions } from './suppression.ts';
export type { OnnxTolerance, Verification } from './verify.ts';
