import { inspect } from 'node:util';

interface TestEvent {
  readonly type: string;
  readonly data: {
    readonly name: string;
    readonly nesting: number;
    readonly skip?: string | boolean;
    readonly todo?: string | boolean;
    readonly details?: {
      readonly type?: string;
      readonly error?: Error & { failureType?: string; cause?: unknown };
    };
  };
}

/** One finished test as the parent process reads it. */
export interface TestLine {
  readonly name: string;
  readonly outcome: 'passed' | 'failed' | 'skipped';
  /** Why it was skipped, or the error with its difference and stack. */
  readonly text?: string;
}

/**
 * A `node:test` reporter: one JSON line for each test (suites, and tests that only failed because of a subtest, are
 * not counted). Names carry those of the enclosing suites and tests.
 */
export default async function* reportLines(source: AsyncIterable<TestEvent>): AsyncGenerator<string> {
  const path: string[] = [];
  for await (const { type, data } of source) {
    if (type === 'test:start') path[data.nesting] = data.name;
    if (type !== 'test:pass' && type !== 'test:fail') continue;
    const { details, skip, todo } = data;
    if (details?.type === 'suite' && type === 'test:pass') continue;
    const error = details?.error;
    if (error?.failureType === 'subtestsFailed') continue;
    const name = [...path.slice(0, data.nesting), data.name].join(' › ');
    yield `${JSON.stringify(lineOf(name, type === 'test:pass', skip ?? todo, error))}\n`;
  }
}

function lineOf(
  name: string,
  passed: boolean,
  skip: string | boolean | undefined,
  error: (Error & { cause?: unknown }) | undefined,
): TestLine {
  if (skip !== undefined && skip !== false) {
    return { name, outcome: 'skipped', text: typeof skip === 'string' ? skip : undefined };
  }
  if (passed) return { name, outcome: 'passed' };
  return { name, outcome: 'failed', text: inspect(error?.cause ?? error, { depth: 6 }) };
}
