// How near a computed loss scale comes to the best one, and how often it overflows, on recorded gradients:
//   node bench/scale-rule.mjs bench/results/2026-11-22-xeon-2-cores-computed-scale/gradients.json [headroom=1 growthInterval=8 …]
// The best scale of a batch is 2^floor(log2(65504 / m)) of its own largest gradient m.
import { readFileSync } from 'node:fs';
import { SCALE_RULES } from '@mezzo/precision';
import { amp } from '@mezzo/torch';

const [file, ...fields] = process.argv.slice(2);
if (file === undefined) throw new Error('usage: node bench/scale-rule.mjs GRADIENTS.json [field=value …]');
const changed = Object.fromEntries(
  fields.map((field) => {
    const [name, value] = field.split('=');
    return [name, Number(value)];
  }),
);
const rule = { ...SCALE_RULES.computed, ...changed };

/** As calibration does, whose pass in bf16 is doubled. */
const CALIBRATION = 2;
const START = 20;

/** Powers of two below the best, of every step; below 0: the step overflowed. */
function follow(magnitudes) {
  const first = CALIBRATION * magnitudes[0];
  let state = { ...amp.startOf(rule), largest: first, scale: amp.scaleFor(rule, first, rule.startWindows) };
  return magnitudes.map((largest) => {
    const distance = Math.log2(amp.scaleFor({ ...rule, headroom: 0 }, largest) / state.scale);
    const overflow = distance < 0;
    state = amp.advance(rule, state, { overflow, largest: overflow ? null : largest }).state;
    return distance;
  });
}

const KINDS = {
  'batch 16': ({ batch }) => batch === 16,
  'batch 8': ({ batch, lr }) => batch === 8 && lr < 0.004,
  'batch 4': ({ batch }) => batch === 4,
  'batch 8, half as wide, AdamW at 0.004': ({ batch, lr }) => batch === 8 && lr === 0.004,
};
const SPANS = [
  [41, 100],
  [101, 200],
  [201, Number.POSITIVE_INFINITY],
];

const { runs } = JSON.parse(readFileSync(file, 'utf8'));
const distances = new Map(runs.map((run) => [run, follow(run.largest)]));
const starts = [...distances.values()].map((all) => all.slice(0, START));
const rows = Object.entries(KINDS).flatMap(([kind, fits]) =>
  SPANS.flatMap(([from, to]) => {
    const steps = runs
      .filter((run) => fits(run) && run.largest.length > 100)
      .flatMap((run) => distances.get(run).slice(from - 1, to));
    if (steps.length === 0) return [];
    const share = (count) => `${((100 * count) / steps.length).toFixed(1)} %`;
    return {
      trainings: kind,
      steps: `${from} … ${to === Number.POSITIVE_INFINITY ? '' : to}`,
      count: steps.length,
      'within two': share(steps.filter((bits) => Math.abs(bits) <= 2).length),
      overflowed: share(steps.filter((bits) => bits < 0).length),
      'furthest below': Math.max(...steps),
    };
  }),
);
console.log(JSON.stringify(rule));
console.log(`${starts.length} starts of ${START} steps: ${starts.flat().filter((bits) => bits < 0).length} overflowed`);
console.table(rows);
