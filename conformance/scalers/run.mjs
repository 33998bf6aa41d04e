#!/usr/bin/env node
/**
 * Compares a loss scaler with the traces beside this file.
 *
 *   node run.mjs ADAPTER.mjs [TRACES.json …]
 *
 * The adapter exports create({ system, rule, config }), which returns an object with
 * step(overflow: boolean) → { scale, tracker?, patience?, skipped?, raised? }, or null for a rule that the
 * scaler does not know. Exit code 0: no difference; 1: differences; 2: wrong usage.
 */
import { readdirSync, readFileSync } from 'node:fs';
import path from 'node:path';
import { fileURLToPath, pathToFileURL } from 'node:url';

const FIELDS = ['scale', 'tracker', 'patience', 'skipped', 'raised'];
const here = path.dirname(fileURLToPath(import.meta.url));

export const traceFiles = () =>
  readdirSync(here)
    .filter((name) => name.endsWith('.json'))
    .sort()
    .map((name) => path.join(here, name));

export const readTraces = (file) =>
  JSON.parse(readFileSync(file, 'utf8'), (_, value) => (value === 'Infinity' ? Number.POSITIVE_INFINITY : value));

/** The differences of one trace; null when the scaler does not know its rule. */
export function compareTrace(create, system, trace) {
  const scaler = create({ system, rule: trace.rule, config: trace.config });
  if (scaler === null) return null;
  const differences = [];
  for (const [i, mark] of [...trace.gradients].entries()) {
    const got = scaler.step(mark !== '.');
    if (got.scale === undefined) throw new Error('step() must return at least { scale }');
    for (const field of FIELDS) {
      const wanted = trace[field]?.[i];
      if (wanted === undefined || got[field] === undefined || Object.is(wanted, got[field])) continue;
      differences.push({ system, trace: trace.name, step: i + 1, field, wanted, got: got[field] });
    }
  }
  return differences;
}

/** One summary a file. */
export function compareFiles(create, files = traceFiles()) {
  return files.map((file) => {
    const { system, traces } = readTraces(file);
    const outcomes = traces.map((trace) => compareTrace(create, system, trace));
    const compared = outcomes.filter((outcome) => outcome !== null);
    const steps = traces.reduce((sum, { gradients }, i) => sum + (outcomes[i] === null ? 0 : gradients.length), 0);
    return {
      system,
      traces: compared.length,
      unknown: outcomes.length - compared.length,
      steps,
      differences: compared.flat(),
    };
  });
}

const SHOWN = 10;

async function main([adapter, ...files]) {
  if (adapter === undefined || adapter.startsWith('-')) {
    console.error('usage: node run.mjs ADAPTER.mjs [TRACES.json …]');
    return 2;
  }
  const { create } = await import(pathToFileURL(path.resolve(adapter)).href);
  if (typeof create !== 'function') {
    console.error(`${adapter} exports no function 'create'`);
    return 2;
  }
  const results = compareFiles(create, files.length > 0 ? files : undefined);
  for (const { system, traces, unknown, steps, differences } of results) {
    const left = unknown > 0 ? `, ${unknown} traces of rules it does not know` : '';
    console.log(`${system}: ${traces} traces, ${steps} steps, ${differences.length} differences${left}`);
    for (const { trace, step, field, wanted, got } of differences.slice(0, SHOWN)) {
      console.log(`  ${trace}: step ${step}: ${field} is ${got}, recorded ${wanted}`);
    }
    if (differences.length > SHOWN) console.log(`  and ${differences.length - SHOWN} more`);
  }
  return results.some(({ differences }) => differences.length > 0) ? 1 : 0;
}

if (process.argv[1] !== undefined && fileURLToPath(import.meta.url) === path.resolve(process.argv[1])) {
  process.exitCode = await main(process.argv.slice(2));
}
