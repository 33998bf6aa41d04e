/** Where progress and tables go: process.stdout, a file stream, or anything with `write`. Mezzo never prints by itself. */
export interface Writer {
  write(text: string): unknown;
  /** A terminal, on which a line can be written anew. */
  readonly isTTY?: boolean;
}
