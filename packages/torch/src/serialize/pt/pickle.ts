import type { Refuse } from './errors.ts';
import { PickleMachine, type PickleMeaning } from './pickle-machine.ts';
import { OPCODES, STOP, UNSAFE_OPCODES } from './pickle-opcodes.ts';
import type { PtValue } from './values.ts';

export interface Unpickled {
  readonly value: PtValue;
  /** The byte after the program. */
  readonly end: number;
}

/**
 * Reads a pickle into inert values. The program is bounded by its bytes: there are no loops in pickles, and nothing here
 * recurses, so neither depth nor cycles cost more than the file is long.
 * @param source name of the entry, for errors
 */
export function unpickle(
  bytes: Buffer,
  source: string,
  refuse: Refuse,
  meaning: (machine: PickleMachine) => PickleMeaning,
  start = 0,
): Unpickled {
  const machine = new PickleMachine(bytes, start, source, refuse, meaning);
  for (;;) {
    machine.opcodeAt = machine.position;
    machine.opcode = 'opcode';
    const [byte] = machine.take(1) as unknown as [number];
    if (byte === STOP) {
      machine.opcode = 'STOP';
      return { value: machine.result(), end: machine.position };
    }
    const opcode = OPCODES.get(byte);
    if (opcode === undefined) {
      const unsafe = UNSAFE_OPCODES.get(byte);
      machine.opcode = unsafe ?? `0x${byte.toString(16).padStart(2, '0')}`;
      if (unsafe !== undefined)
        machine.fail('PT_UNSAFE', 'it makes objects in a way that PyTorch never does');
      return machine.fail('PT_INVALID', 'its pickle has an opcode that PyTorch never writes');
    }
    machine.opcode = opcode.name;
    opcode.run(machine);
  }
}
