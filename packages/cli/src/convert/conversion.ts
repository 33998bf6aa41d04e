/** What a conversion is asked for. */
export interface ConversionRequest {
  readonly input: string;
  readonly out: string;
  /** The folder of the images, for data sets whose annotations lie apart. */
  readonly images: string | null;
  /** For lines to people while it works. */
  readonly note: (line: string) => void;
}

export interface ConversionResult {
  /** The document of --json. */
  readonly report: object;
  /** What it is told to people. */
  readonly lines: readonly string[];
}

/** One kind of file, or folder, into another. A new kind is a row of {@link CONVERSIONS}. */
export interface Conversion {
  /** The word ahead of the input that asks for it, where the input does not tell. */
  readonly word: string | null;
  /** What is read and what is written, as help and errors name them. */
  readonly from: string;
  readonly to: string;
  /** Is this the conversion of such an input, after its word? `to` is the value of --to, null when it is not given. */
  readonly takes: (input: string, to: string | null) => boolean;
  /** Where the result goes without --out. */
  readonly defaultOut: (input: string) => string;
  /** Refuses an --out that cannot be meant. */
  readonly fits: (out: string) => boolean;
  /** May what is there already be written over? */
  readonly overwrites: boolean;
  /** Does it compute with tensors? */
  readonly needsLibTorch: boolean;
  readonly run: (request: ConversionRequest) => Promise<ConversionResult>;
}
