/** What the monitor is told of a window. */
export interface ScaleReport {
  /** Its number in the run, from 1. */
  readonly window: number;
  readonly applied: boolean;
  /** The loss scale under which it ran. */
  readonly scale: number;
  /** Parameters and buffers that were not finite; 'loss' when only that was. */
  readonly culprits: readonly string[];
  /** The largest learning rate. */
  readonly lr: number;
  /** Pictures of its batches. */
  readonly files?: readonly string[];
}

export interface ScaleMonitorOptions {
  /** The scale at which an overflow is an error; null: there is none. */
  readonly floor: number | null;
  /** Windows that are looked at together, and between two warnings of a kind. Default 200. */
  readonly horizon?: number;
}

export type MonitorCode = 'SCALE_FALLING' | 'SCALE_COLLAPSED' | 'MANY_SKIPS' | 'SCALE_FLOOR';

export interface MonitorFinding {
  readonly code: MonitorCode;
  readonly severity: 'warning' | 'error';
  readonly window: number;
  readonly text: string;
  /** The likeliest first. */
  readonly causes: readonly MonitorCause[];
  readonly remedies: readonly string[];
  readonly culprits: readonly string[];
}

export interface MonitorCause {
  readonly kind: 'learning rate' | 'files' | 'layers' | 'everything';
  readonly text: string;
}

interface Skip {
  readonly window: number;
  readonly culprits: readonly string[];
  readonly lr: number;
  readonly files: readonly string[];
}

/** Plain data, for the checkpoint. */
export interface MonitorState {
  /** Binary logarithm of the scale of the last windows, oldest first. */
  readonly scales: readonly number[];
  /** Learning rates beside them. */
  readonly rates: readonly number[];
  /** Skipped windows of that stretch. */
  readonly skips: readonly Skip[];
  readonly inARow: number;
  /** When each kind was last told. */
  readonly told: Readonly<Partial<Record<MonitorCode, number>>>;
}

const HORIZON = 200;
/** The smallest float32: a scale of 0 has no logarithm. */
const SMALLEST = 2 ** -149;
/** More skips than this among the windows looked at are too many. */
const SKIP_SHARE = 0.05;
/** A share means little before there are this many windows. */
const ENOUGH_WINDOWS = 100;
/** Halvings over the stretch that make a trend. */
const TREND_BITS = 3;
const COLLAPSE_IN_A_ROW = 8;
const FILES_OF_A_SKIP = 16;
const CULPRITS_OF_A_SKIP = 16;
const NAMED = 4;

export const startMonitor = (): MonitorState => ({ scales: [], rates: [], skips: [], inARow: 0, told: {} });

/** Looks at one more window. Pure: the state is data, and what there is to say is returned. */
export function monitorScale(
  { floor, horizon = HORIZON }: ScaleMonitorOptions,
  before: MonitorState,
  report: ScaleReport,
): { state: MonitorState; findings: MonitorFinding[] } {
  const { window, applied, scale } = report;
  const first = window - horizon;
  const skip: Skip[] = applied
    ? []
    : [
        {
          window,
          culprits: report.culprits.slice(0, CULPRITS_OF_A_SKIP),
          lr: report.lr,
          files: (report.files ?? []).slice(0, FILES_OF_A_SKIP),
        },
      ];
  const state: MonitorState = {
    scales: [...before.scales, Math.log2(Math.max(scale, SMALLEST))].slice(-horizon),
    rates: [...before.rates, report.lr].slice(-horizon),
    skips: [...before.skips, ...skip].filter((each) => each.window > first),
    inARow: applied ? 0 : before.inARow + 1,
    told: before.told,
  };
  const found = RULES.flatMap((rule) => {
    const text = rule.find(state, report, floor);
    const last = before.told[rule.code];
    if (text === null || (last !== undefined && rule.severity === 'warning' && window - last < horizon))
      return [];
    return [{ ...rule, text }];
  });
  // The error says it all.
  const telling = found.some(({ severity }) => severity === 'error')
    ? found.filter(({ severity }) => severity === 'error')
    : found;
  const findings = telling.map(({ code, severity, text }) => {
    const causes = causesOf(state);
    return { code, severity, window, text, causes, remedies: remediesOf(causes), culprits: report.culprits };
  });
  const told = Object.fromEntries(findings.map(({ code }) => [code, window]));
  return { state: { ...state, told: { ...before.told, ...told } }, findings };
}

interface Rule {
  readonly code: MonitorCode;
  readonly severity: MonitorFinding['severity'];
  /** What to say, or null. */
  find(state: MonitorState, report: ScaleReport, floor: number | null): string | null;
}

const RULES: readonly Rule[] = [
  {
    code: 'SCALE_FLOOR',
    severity: 'error',
    find: (_state, { applied, scale, culprits }, floor) =>
      !applied && floor !== null && scale <= floor
        ? `the loss scale is at its floor of ${floor} and the gradients still overflow${among(culprits)}`
        : null,
  },
  {
    code: 'SCALE_COLLAPSED',
    severity: 'warning',
    find: ({ inARow }, { applied, scale }) => {
      if (applied) return null;
      if (inARow >= COLLAPSE_IN_A_ROW)
        return `${inARow} windows in a row overflowed; the loss scale fell to ${scale}`;
      return scale <= 1 ? `the loss scale collapsed to ${scale}` : null;
    },
  },
  {
    code: 'SCALE_FALLING',
    severity: 'warning',
    find: ({ scales }, { scale }) => {
      const now = scales.at(-1)!;
      const fallen = scales[0]! - now;
      if (scales.length < ENOUGH_WINDOWS || fallen < TREND_BITS || now <= 0 || now > fallen) return null;
      const left = Math.ceil((now / fallen) * scales.length);
      return `the loss scale fell from ${2 ** scales[0]!} to ${scale} in ${scales.length} windows; at this rate it reaches 1 in about ${left} more`;
    },
  },
  {
    code: 'MANY_SKIPS',
    severity: 'warning',
    find: ({ scales, skips }) => {
      const share = skips.length / scales.length;
      if (scales.length < ENOUGH_WINDOWS || share <= SKIP_SHARE) return null;
      return `${skips.length} of the last ${scales.length} windows were skipped (${(100 * share).toFixed(0)} %)`;
    },
  },
];

/** Judged from the skipped windows; none when nothing stands out. */
function causesOf({ skips, rates }: MonitorState): MonitorCause[] {
  const causes: MonitorCause[] = [];
  const files = repeated(skips.map((skip) => skip.files));
  if (files.length > 0) {
    causes.push({
      kind: 'files',
      text: `the same pictures were in several skipped windows: ${listed(files)}`,
    });
  }
  const [oldest = 0] = rates;
  const newest = rates.at(-1) ?? 0;
  if (skips.length > 0 && newest > oldest * 1.5) {
    causes.push({ kind: 'learning rate', text: `the learning rate rose from ${oldest} to ${newest}` });
  }
  const whole = skips.filter(
    ({ culprits }) => culprits.length >= CULPRITS_OF_A_SKIP || culprits.includes('loss'),
  );
  const layers = repeated(skips.map(({ culprits }) => [...new Set(culprits.map(layerOf))]));
  if (whole.length * 2 > skips.length) {
    causes.push({
      kind: 'everything',
      text: 'the loss or most gradients at once were not finite: a forward pass overflowed',
    });
  } else if (layers.length > 0) {
    causes.push({ kind: 'layers', text: `the overflow is mostly in ${listed(layers)}` });
  }
  return causes;
}

const REMEDIES: Readonly<Record<MonitorCause['kind'], string>> = {
  'learning rate': 'lower lr0 or lengthen warmup_epochs',
  files: 'look at these pictures and their labels',
  layers: "keep these layers in fp32 (fp32='PATTERN'), or let amp=auto do it",
  everything: 'find the first op that overflows with --autopsy',
};

const remediesOf = (causes: readonly MonitorCause[]): string[] => [
  ...causes.map(({ kind }) => REMEDIES[kind]),
  'amp=bf16 needs no loss scale where the device has it',
];

/** What is in at least half of the lists and in two of them, most frequent first. */
function repeated(lists: readonly (readonly string[])[]): string[] {
  const counts = new Map<string, number>();
  for (const name of lists.flatMap((list) => [...new Set(list)]))
    counts.set(name, (counts.get(name) ?? 0) + 1);
  const least = Math.max(2, lists.length / 2);
  return [...counts]
    .filter(([, count]) => count >= least)
    .sort(([, a], [, b]) => b - a)
    .map(([name]) => name);
}

const layerOf = (parameter: string): string => parameter.replace(/\.[^.]+$/, '');

const listed = (names: readonly string[]): string =>
  names.length > NAMED
    ? `${names.slice(0, NAMED).join(', ')} and ${names.length - NAMED} more`
    : names.join(', ');

const among = (culprits: readonly string[]): string => (culprits.length === 0 ? '' : `: ${listed(culprits)}`);
