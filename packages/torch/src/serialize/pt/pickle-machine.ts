import type { PtErrorCode, Refuse } from './errors.ts';
import { LIMITS } from './limits.ts';
import type { PtGlobal, PtValue } from './values.ts';

/** What names, calls and persistent ids of a pickle stand for. */
export interface PickleMeaning {
  global(module: string, name: string): PtValue;
  /** `callable(*args)`, or with `construct` `callable.__new__(callable, *args)`. */
  call(callable: PtValue, args: PtValue, construct: boolean): PtValue;
  persistent(id: PtValue): PtValue;
  /** Hands an object its state. */
  build(target: PtValue, state: PtValue): void;
}

/** The stack, memo and input of a pickle program. Opcodes are functions over it; none of them runs anything. */
export class PickleMachine {
  readonly meaning: PickleMeaning;
  readonly memo = new Map<number, PtValue>();
  readonly #bytes: Buffer;
  readonly #refuse: Refuse;
  readonly #source: string;
  readonly #stack: PtValue[] = [];
  /** Height of the stack at each open mark. */
  readonly #marks: number[] = [];
  #copied = 0;
  /** The next byte to read. */
  position: number;
  /** Name of the opcode being done, and where it stands. */
  opcode = '';
  opcodeAt = 0;

  constructor(
    bytes: Buffer,
    start: number,
    source: string,
    refuse: Refuse,
    meaning: (machine: PickleMachine) => PickleMeaning,
  ) {
    this.#bytes = bytes;
    this.#refuse = refuse;
    this.#source = source;
    this.position = start;
    this.meaning = meaning(this);
  }

  /** Counts what a call is about to copy: without a limit a short pickle could copy one long list until memory ends. */
  copying(items: number): void {
    this.#copied += items;
    if (this.#copied > LIMITS.copiedItems + this.#bytes.length) {
      this.fail('PT_LIMIT', 'it copies the same values over and over');
    }
  }

  /** Refuses the file for what stands at the current opcode. */
  fail(code: PtErrorCode, found: string, cause?: unknown): never {
    return this.#refuse(code, found, `${this.#source}, byte ${this.opcodeAt} (${this.opcode})`, cause);
  }

  /** The next `length` bytes of the program. */
  take(length: number): Buffer {
    const end = this.position + length;
    if (end > this.#bytes.length) {
      this.fail('PT_INVALID', `its pickle ends in the middle: ${end - this.#bytes.length} bytes are missing`);
    }
    const bytes = this.#bytes.subarray(this.position, end);
    this.position = end;
    return bytes;
  }

  /** The text up to the next line feed. */
  line(): string {
    const end = this.#bytes.indexOf(0x0a, this.position);
    if (end < 0) this.fail('PT_INVALID', 'its pickle ends in the middle of a name');
    const text = this.#bytes.toString('utf8', this.position, end);
    this.position = end + 1;
    return text;
  }

  push(value: PtValue): void {
    this.#stack.push(value);
  }

  pop(): PtValue {
    this.#needItem();
    return this.#stack.pop()!;
  }

  top(): PtValue {
    this.#needItem();
    return this.#stack.at(-1)!;
  }

  mark(): void {
    this.#marks.push(this.#stack.length);
  }

  /** Takes what was pushed since the last mark, and the mark. */
  popMark(): PtValue[] {
    const height = this.#marks.pop();
    if (height === undefined) this.fail('PT_INVALID', 'its pickle closes a mark that was never opened');
    return this.#stack.splice(height);
  }

  /** POP takes a mark when nothing was pushed since. */
  drop(): void {
    if (this.#marks.at(-1) === this.#stack.length) this.#marks.pop();
    else this.pop();
  }

  remember(index: number): void {
    this.memo.set(index, this.top());
  }

  recall(index: number): void {
    const value = this.memo.get(index);
    if (value === undefined)
      this.fail('PT_INVALID', `its pickle refers to memo ${index}, which is not there`);
    this.push(value);
  }

  /** The result of a finished program. */
  result(): PtValue {
    const value = this.pop();
    if (this.#stack.length > 0 || this.#marks.length > 0) {
      this.fail('PT_INVALID', 'its pickle ends with more than one value');
    }
    return value;
  }

  #needItem(): void {
    if (this.#stack.length <= (this.#marks.at(-1) ?? 0)) {
      this.fail('PT_INVALID', 'its pickle takes a value from the stack where none is');
    }
  }
}

/** A name on the stack; anything else is refused. */
export function asText(machine: PickleMachine, value: PtValue, what: string): string {
  return typeof value === 'string' ? value : machine.fail('PT_INVALID', `${what} is not text`);
}

/** How an error names a value. */
export function describe(value: PtValue): string {
  if (value === null) return 'None';
  if (typeof value !== 'object') return `the ${typeof value} ${String(value).slice(0, 40)}`;
  if (Array.isArray(value)) return `a list of ${value.length}`;
  if (value instanceof Map) return `a dict of ${value.size}`;
  if (value instanceof Set) return `a set of ${value.size}`;
  if (value instanceof Uint8Array) return `${value.length} bytes`;
  if ('className' in value) return `an object of ${value.className}`;
  if ('path' in value) return (value as PtGlobal).path;
  return 'shape' in value ? 'a tensor' : 'a storage';
}
