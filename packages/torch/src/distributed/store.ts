import { type NativeStore, native } from '@mezzo/libtorch';
import { openingFailure } from './opening.ts';

/** 5 minutes, as PyTorch's stores. */
const DEFAULT_TIMEOUT = 300_000;

/**
 * A table of keys and values that processes share (torch.distributed.Store). A value is text or bytes. `get` and
 * `wait` come when the key does; everything else asks the server and returns.
 */
export class Store {
  /** @internal */
  readonly native: NativeStore;
  /** Milliseconds after which `get` and `wait` give up. */
  readonly timeout: number;

  /** @internal */
  constructor(store: NativeStore, timeout: number) {
    this.native = store;
    this.timeout = timeout;
  }

  set(key: string, value: string | Uint8Array): void {
    native().storeSet(this.native, key, bytes(value));
  }

  /** @throws TorchError when the key does not come within `timeout` */
  get(key: string): Promise<Uint8Array> {
    return native().storeGet(this.native, key, this.timeout);
  }

  /** Adds to the number that the key has (0 when new) and returns the sum. */
  add(key: string, amount: number): number {
    return Number(native().storeAdd(this.native, key, amount));
  }

  /** @throws TorchError when they do not come within `timeout` milliseconds */
  wait(keys: readonly string[], timeout = this.timeout): Promise<void> {
    return native().storeWait(this.native, keys, timeout);
  }

  /** Whether all the keys are there. */
  check(keys: readonly string[]): boolean {
    return native().storeCheck(this.native, keys);
  }

  deleteKey(key: string): boolean {
    return native().storeDelete(this.native, key);
  }

  /**
   * Sets the key if its value is `expected`, or if it is new and `expected` is empty; returns the value it has
   * then, or `expected` where there is none.
   */
  compareSet(key: string, expected: string | Uint8Array, value: string | Uint8Array): Uint8Array {
    return native().storeCompareSet(this.native, key, bytes(expected), bytes(value));
  }

  /** Keys in the whole store, the server's own included. */
  numKeys(): number {
    return native().storeNumKeys(this.native);
  }

  /** Lets go of the store. One that serves ends with the last group that uses it. */
  close(): void {
    native().storeClose(this.native);
  }
}

export interface TCPStoreOptions {
  host: string;
  /** 0 lets the serving process choose one. */
  port: number;
  /** Processes that use the store, where it is known. */
  worldSize?: number;
  /** Whether this process serves the store. Exactly one does. */
  isMaster?: boolean;
  /** Milliseconds for connecting, and for `get` and `wait`. */
  timeout?: number;
  /** Whether the master waits until `worldSize` processes have connected. */
  waitForWorkers?: boolean;
}

/** A store in one process that the others reach by TCP (torch.distributed.TCPStore). */
export class TCPStore extends Store {
  readonly host: string;
  readonly port: number;

  private constructor(store: NativeStore, host: string, timeout: number) {
    super(store, timeout);
    this.host = host;
    this.port = native().storePort(store) ?? 0;
  }

  /**
   * Serves the store, or connects to it.
   * @throws DistributedError PORT_IN_USE, DISTRIBUTED_TIMEOUT
   */
  static async open(options: TCPStoreOptions): Promise<TCPStore> {
    const { host, port, worldSize = 0, isMaster = false, timeout = DEFAULT_TIMEOUT } = options;
    const wait = options.waitForWorkers ?? true;
    try {
      const store = await native().storeOpen(host, port, worldSize, isMaster, timeout, wait);
      return new TCPStore(store, host, timeout);
    } catch (error) {
      throw openingFailure(error, { host, port, timeout, isMaster });
    }
  }
}

/** A store whose keys all begin with a prefix (torch.distributed.PrefixStore). */
export class PrefixStore extends Store {
  constructor(prefix: string, store: Store) {
    super(native().storePrefix(store.native, prefix), store.timeout);
  }
}

const bytes = (value: string | Uint8Array): Uint8Array =>
  typeof value === 'string' ? new TextEncoder().encode(value) : value;
