/**
 * A training step in a process of its own, for the memory that the system sees. Takes the options of a step as JSON and,
 * a line "N" at a time, answers with the peak of resident bytes during N steps over what was resident before them.
 */
import { readFileSync, writeFileSync } from 'node:fs';
import { createInterface } from 'node:readline';
import { type HarnessOptions, stepOnce } from './step-harness.ts';

/** VmRSS (now) or VmHWM (peak) of this process in bytes. */
function resident(field: 'VmRSS' | 'VmHWM'): number {
  const line = new RegExp(`^${field}:\\s+(\\d+) kB$`, 'm').exec(readFileSync('/proc/self/status', 'utf8'));
  return 1024 * Number(line![1]);
}

const once = stepOnce(JSON.parse(process.argv[2]!) as HarnessOptions);
console.log(JSON.stringify({ ready: true }));
for await (const line of createInterface({ input: process.stdin })) {
  // The peak starts anew.
  writeFileSync('/proc/self/clear_refs', '5');
  const before = resident('VmRSS');
  for (let step = 0; step < Number(line); step++) once();
  console.log(JSON.stringify({ samples: [resident('VmHWM') - before] }));
}
