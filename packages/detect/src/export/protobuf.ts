/** A message of the protobuf wire format under construction: its fields in the order in which they are added. */
export class Message {
  /** Bytes in order. Large payloads stay where they are and are never copied. */
  readonly chunks: Uint8Array[] = [];
  byteLength = 0;

  /** An integer or enumeration (wire type 0). */
  integer(field: number, value: number | bigint): this {
    return this.append(varint(field << 3), varint(value));
  }

  /** A 32-bit float (wire type 5). */
  float(field: number, value: number): this {
    const bytes = new Uint8Array(4);
    new DataView(bytes.buffer).setFloat32(0, value, true);
    return this.append(varint((field << 3) | 5), bytes);
  }

  /** Text, raw bytes or a nested message (wire type 2); the message must be complete. */
  content(field: number, value: string | Uint8Array | Message): this {
    const part = typeof value === 'string' ? new TextEncoder().encode(value) : value;
    this.append(varint((field << 3) | 2), varint(part.byteLength));
    return this.append(...(part instanceof Message ? part.chunks : [part]));
  }

  private append(...chunks: readonly Uint8Array[]): this {
    for (const chunk of chunks) {
      this.chunks.push(chunk);
      this.byteLength += chunk.byteLength;
    }
    return this;
  }
}

/** Seven bits a byte, low ones first; negative numbers as 64-bit two's complement. */
function varint(value: number | bigint): Uint8Array {
  const bytes: number[] = [];
  let rest = BigInt.asUintN(64, BigInt(value));
  while (rest > 0x7fn) {
    bytes.push(Number(rest & 0x7fn) | 0x80);
    rest >>= 7n;
  }
  bytes.push(Number(rest));
  return Uint8Array.from(bytes);
}
