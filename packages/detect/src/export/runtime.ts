import { createRequire } from 'node:module';
import path from 'node:path';
import { pathToFileURL } from 'node:url';

/** The part of onnxruntime-node that a check needs. */
export interface OnnxRuntime {
  readonly InferenceSession: {
    create(model: Uint8Array, options: { logSeverityLevel: 3 }): Promise<OnnxSession>;
  };
  readonly Tensor: new (type: 'float32', data: Float32Array, shape: readonly number[]) => OnnxTensor;
  readonly env: { readonly versions: { readonly common?: string; readonly node?: string } };
}

export interface OnnxSession {
  run(inputs: Readonly<Record<string, OnnxTensor>>): Promise<Readonly<Record<string, OnnxTensor>>>;
  release(): Promise<void>;
}

export interface OnnxTensor {
  readonly data: Float32Array;
  readonly dims: readonly number[];
}

const NAME: string = 'onnxruntime-node';
export const RUNTIME_HINT = 'npm install onnxruntime-node, and export again';

/**
 * onnxruntime-node, from Mezzo's own modules or from those of the current folder: it is optional, because it is large.
 * @returns the run time, or why there is none
 */
export async function findRuntime(): Promise<{ runtime: OnnxRuntime } | { absent: string }> {
  const here = createRequire(import.meta.url);
  const there = createRequire(path.join(process.cwd(), 'package.json'));
  for (const require of [here, there]) {
    let file: string;
    try {
      file = require.resolve(NAME);
    } catch {
      continue;
    }
    try {
      const module = (await import(pathToFileURL(file).href)) as OnnxRuntime & { default?: OnnxRuntime };
      return { runtime: module.default ?? module };
    } catch (error) {
      return { absent: `${file} does not load: ${(error as Error).message}` };
    }
  }
  return { absent: 'onnxruntime-node is not installed' };
}
