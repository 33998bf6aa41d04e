import { readFile } from 'node:fs/promises';
import { didYouMean } from '@mezzo/libtorch/nearest';
import { writeFileAtomically } from '@mezzo/torch';
import {
  isPlanDType,
  type PlanChange,
  type PlanDType,
  PlanError,
  type PlanRule,
  type PrecisionPlan,
} from './plan.ts';

/** The names that `amp=` uses, which plans may use too. */
const SHORT_NAMES: Readonly<Record<string, PlanDType>> = {
  fp32: 'float32',
  fp16: 'float16',
  bf16: 'bfloat16',
};

type Fields = Readonly<Record<string, unknown>>;
/** Checks one value; `at` says where it stands, for the message. */
type Check<T> = (value: unknown, at: string) => T;

/**
 * Reads a plan from parsed JSON. `history` may be left out, `reason` is then "by hand"; dtypes may be written as
 * in `amp=`: fp32, fp16, bf16.
 * @param source what the plan came from, for messages
 * @throws PlanError BAD_PLAN with source, rule (from 1) and field
 */
export function parsePlan(value: unknown, source = 'the plan'): PrecisionPlan {
  const fields = object(value, source, ['version', 'base', 'rules', 'history']);
  if (fields.version !== 1) {
    throw new PlanError('BAD_PLAN', `${source}: 'version' must be 1, got ${show(fields.version)}`);
  }
  return {
    version: 1,
    base: dtype(fields.base, `${source}: 'base'`),
    rules: list(fields.rules, `${source}: 'rules'`).map((each, i) => rule(each, `${source}: rule ${i + 1}`)),
    history: list(fields.history ?? [], `${source}: 'history'`).map((each, i) =>
      change(each, `${source}: change ${i + 1}`),
    ),
  };
}

/** @throws PlanError BAD_PLAN when the file cannot be read, is no JSON or no plan */
export async function readPlan(file: string): Promise<PrecisionPlan> {
  let text: string;
  try {
    text = await readFile(file, 'utf8');
  } catch (cause) {
    const { code, message } = cause as NodeJS.ErrnoException;
    throw new PlanError('BAD_PLAN', `cannot read ${file}: ${code === 'ENOENT' ? 'no such file' : message}`, {
      cause,
    });
  }
  let value: unknown;
  try {
    value = JSON.parse(text);
  } catch (cause) {
    throw new PlanError('BAD_PLAN', `${file} is not JSON: ${(cause as Error).message}`, { cause });
  }
  return parsePlan(value, file);
}

/** Writes a plan as `readPlan` reads it, one rule and one change a line. A kill leaves the old file or the new. */
export function writePlan(file: string, plan: PrecisionPlan): void {
  writeFileAtomically(file, formatPlan(plan));
}

export function formatPlan({ version, base, rules, history }: PrecisionPlan): string {
  const lines = (items: readonly object[]) =>
    items.length === 0 ? '[]' : `[\n${items.map((item) => `    ${JSON.stringify(item)}`).join(',\n')}\n  ]`;
  return `{\n  "version": ${version},\n  "base": "${base}",\n  "rules": ${lines(rules)},\n  "history": ${lines(history)}\n}\n`;
}

const rule: Check<PlanRule> = (value, at) => {
  const fields = object(value, at, ['layers', 'ops', 'dtype', 'reason']);
  const common = {
    layers: text(fields.layers, `${at}: 'layers'`),
    dtype: dtype(fields.dtype, `${at}: 'dtype'`),
    reason: fields.reason === undefined ? 'by hand' : text(fields.reason, `${at}: 'reason'`),
  };
  return fields.ops === undefined ? common : { ...common, ops: ops(fields.ops, `${at}: 'ops'`) };
};

const change: Check<PlanChange> = (value, at) => {
  const fields = object(value, at, ['window', 'layer', 'from', 'to', 'reason', 'evidence']);
  const { window, evidence } = fields;
  if (!Number.isSafeInteger(window)) throw wrong(`${at}: 'window'`, 'a whole number', window);
  return {
    window: window as number,
    layer: text(fields.layer, `${at}: 'layer'`, true),
    from: dtype(fields.from, `${at}: 'from'`),
    to: dtype(fields.to, `${at}: 'to'`),
    reason: text(fields.reason, `${at}: 'reason'`),
    evidence: isObject(evidence) ? evidence : fail(`${at}: 'evidence'`, 'an object', evidence),
  };
};

const ops: Check<string[]> = (value, at) => {
  const names = list(value, at);
  if (names.length === 0)
    throw new PlanError('BAD_PLAN', `${at} is empty: leave it out for a rule on whole layers`);
  return names.map((name) => {
    if (typeof name === 'string' && /^\w+::\w+$/.test(name)) return name;
    return fail(at, "names such as 'aten::exp'", name);
  });
};

const dtype: Check<PlanDType> = (value, at) => {
  const known = isPlanDType(value) ? value : SHORT_NAMES[String(value)];
  if (known !== undefined) return known;
  return fail(at, 'float32, float16 or bfloat16', value);
};

function object(value: unknown, at: string, known: readonly string[]): Fields {
  if (!isObject(value)) return fail(at, 'an object', value);
  const unknown = Object.keys(value).find((key) => !known.includes(key));
  if (unknown === undefined) return value;
  throw new PlanError('BAD_PLAN', `${at}: unknown field '${unknown}'${didYouMean(unknown, known)}`, {
    hint: `the fields are ${known.join(', ')}`,
  });
}

/** Only a layer's name may be empty: it is the model. */
function text(value: unknown, at: string, mayBeEmpty = false): string {
  if (typeof value === 'string' && (mayBeEmpty || value !== '')) return value;
  return fail(at, 'a text', value);
}

const list: Check<unknown[]> = (value, at) => (Array.isArray(value) ? value : fail(at, 'a list', value));

const isObject = (value: unknown): value is Fields =>
  typeof value === 'object' && value !== null && !Array.isArray(value);

const wrong = (at: string, expected: string, value: unknown) =>
  new PlanError('BAD_PLAN', `${at} must be ${expected}, got ${show(value)}`);

function fail(at: string, expected: string, value: unknown): never {
  throw wrong(at, expected, value);
}

const show = (value: unknown): string => (value === undefined ? 'nothing' : JSON.stringify(value));
