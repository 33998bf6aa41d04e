/** The `mezzo` command as a function: a command line in, an exit code out. */
export { runProgram } from './program.ts';
export { openTerminal, type Terminal } from './terminal.ts';
