import assert from 'node:assert/strict';
import { setTimeout as sleep } from 'node:timers/promises';
import { native } from '@mezzo/libtorch';
import { noteVersions, requireSameVersions } from '../src/distributed/same-versions.ts';
import { distributed, manualSeed, nn, optim, scope, type Tensor, tensor, zeros } from '../src/index.ts';
import { type Program, runProgram } from './run-program.ts';

// The programs that distributed.test.ts runs as ranks of a group; the first argument names one.

const { getRank, getWorldSize, ReduceOp } = distributed;

const values = (t: Tensor): number[] => Array.from(t.toTypedArray() as Iterable<number | bigint>, Number);
const filled = (count: number, shape: readonly number[]) => Array.from({ length: count }, () => zeros(shape));
const begin = (timeout = 60_000) => distributed.initProcessGroup({ timeout });

/** Two linear layers, of which `first` alone is used in a forward with `skip`. */
class Net extends nn.Module {
  readonly first: nn.Linear;
  readonly norm: nn.BatchNorm1d;
  readonly second: nn.Linear;
  skip = false;

  constructor(width = 4) {
    super();
    this.first = new nn.Linear(3, width);
    this.norm = new nn.BatchNorm1d(4);
    this.second = new nn.Linear(4, 2);
  }

  override forward(x: Tensor): Tensor {
    const hidden = this.first.forward(x);
    return this.skip ? hidden : this.second.forward(this.norm.forward(hidden));
  }
}

/** Rows of the batch, four for each rank. */
const rows = (rank: number) =>
  tensor(Array.from({ length: 4 }, (_, i) => [0, 1, 2].map((j) => Math.sin(rank * 12 + i * 3 + j))));

const gradients = (module: nn.Module) =>
  Object.fromEntries(
    Array.from(module.namedParameters(), ([name, { grad }]) => [name, grad && values(grad)]),
  );

/** A group of all that gives up after 2 seconds; they meet with more patience. */
async function impatient(): Promise<distributed.ProcessGroup> {
  await begin();
  return (await distributed.newGroup(undefined, { timeout: 2000 }))!;
}

/** Fails as `call` does, but only when the others have failed too: a rank that ends takes its connections along. */
async function lingering(call: () => void): Promise<Record<string, unknown>> {
  try {
    call();
    return {};
  } catch (error) {
    await sleep(2500);
    throw error;
  }
}

const programs: Record<string, Program> = {
  async collectives() {
    await begin();
    const [rank, size] = [getRank(), getWorldSize()];
    const own = () => tensor([rank + 1, 10 * (rank + 1)]);
    const reduced = Object.fromEntries(
      [ReduceOp.SUM, ReduceOp.AVG, ReduceOp.PRODUCT, ReduceOp.MIN, ReduceOp.MAX].map((op) => {
        const t = own();
        distributed.allReduce(t, { op });
        return [op, values(t)];
      }),
    );
    const bits = Object.fromEntries(
      [ReduceOp.BAND, ReduceOp.BOR, ReduceOp.BXOR].map((op) => {
        const t = tensor(Int32Array.of(6 + rank, 12));
        distributed.allReduce(t, { op });
        return [op, values(t)];
      }),
    );
    const halves = Object.fromEntries(
      (['float16', 'bfloat16', 'float64', 'int64'] as const).map((dtype) => {
        const t = tensor([rank + 1, 2], { dtype });
        distributed.allReduce(t);
        return [dtype, values(t)];
      }),
    );
    const sent = own();
    distributed.broadcast(sent, 1);
    const summed = own();
    distributed.reduce(summed, 0);
    const gathered = filled(size, [2]);
    distributed.allGather(gathered, own());
    const collected = rank === 1 ? filled(size, [2]) : undefined;
    distributed.gather(own(), { gatherList: collected, dst: 1 });
    const part = zeros([1]);
    const parts = rank === 0 ? Array.from({ length: size }, (_, i) => tensor([100 + i])) : undefined;
    distributed.scatter(part, { scatterList: parts, src: 0 });
    const share = zeros([1]);
    const shares = Array.from({ length: size }, (_, i) => tensor([(rank + 1) * (i + 1)]));
    distributed.reduceScatter(share, shares);
    const exchanged = filled(size, [1]);
    distributed.allToAll(
      exchanged,
      Array.from({ length: size }, (_, i) => tensor([10 * rank + i])),
    );
    const passed = zeros([1]);
    const [next, previous] = [(rank + 1) % size, (rank + size - 1) % size];
    const sending = distributed.isend(tensor([rank]), next, { tag: 7 });
    distributed.recv(passed, previous, { tag: 7 });
    sending.wait();
    const evens = await distributed.newGroup([0, size - 1]);
    const among = own();
    if (evens) distributed.allReduce(among, { group: evens });
    const objects = distributed.allGatherObject({ rank, text: 'é'.repeat(rank) });
    let turns = 0;
    const timer = setInterval(() => turns++, 1);
    if (rank === 0) await sleep(100);
    const awaited = own();
    await distributed.allReduce(awaited, { asyncOp: true }).waitAsync();
    clearInterval(timer);
    distributed.barrier();
    distributed.destroyProcessGroup();
    return {
      reduced,
      bits,
      halves,
      broadcast: values(sent),
      reduce: rank === 0 ? values(summed) : null,
      allGather: gathered.map(values),
      gather: collected?.map(values) ?? null,
      scatter: values(part),
      reduceScatter: values(share),
      allToAll: exchanged.map(values),
      passed: values(passed),
      subgroup: evens ? { rank: getRankIn(evens), values: values(among) } : null,
      objects,
      awaited: values(awaited),
      turnsWhileWaiting: rank === 0 ? null : turns > 5,
      initialized: distributed.isInitialized(),
    };
  },

  async store() {
    const port = Number(process.env.MASTER_PORT);
    const isMaster = process.env.RANK === '0';
    const timeout = 20_000;
    const store = await distributed.TCPStore.open({
      host: '127.0.0.1',
      port,
      worldSize: 2,
      isMaster,
      timeout,
    });
    const text = (bytes: Uint8Array) => new TextDecoder().decode(bytes);
    const mine = new distributed.PrefixStore(isMaster ? 'a' : 'b', store);
    mine.set('name', isMaster ? 'master' : 'other');
    const other = text(await store.get(isMaster ? 'b/name' : 'a/name'));
    const waiting = store.get('late');
    // The store is free while a key is awaited.
    const count = store.add('count', isMaster ? 1 : 2) > 0;
    if (!isMaster) {
      await sleep(50);
      store.set('late', Uint8Array.of(1, 2, 3));
    }
    const late = [...(await waiting)];
    store.add('done', 1);
    while (store.add('done', 0) < 2) await sleep(5);
    const result = {
      other,
      count,
      late,
      sum: store.add('count', 0),
      swapped: isMaster ? text(store.compareSet('name', '', 'first')) : null,
      kept: isMaster ? text(store.compareSet('name', 'no', 'second')) : null,
      deleted: isMaster ? [store.deleteKey('name'), store.deleteKey('name'), store.check(['name'])] : null,
    };
    const missing = await store.wait(['never'], 300).then(
      () => 'came',
      () => 'did not come',
    );
    store.add('end', 1);
    while (isMaster && store.add('end', 0) < 2) await sleep(5);
    return { ...result, missing };
  },

  async otherVersions() {
    const [rank, size] = [Number(process.env.RANK), Number(process.env.WORLD_SIZE)];
    const store = await distributed.TCPStore.open({
      host: '127.0.0.1',
      port: Number(process.env.MASTER_PORT),
      worldSize: size,
      isMaster: rank === 0,
      timeout: 20_000,
    });
    // Rank 1 is as a process of PyTorch, which notes nothing.
    const versions = { Mezzo: rank === 2 ? '0.2.0' : '0.1.0', LibTorch: '2.15.0' };
    if (rank !== 1) noteVersions(store, rank, versions);
    store.add('here', 1);
    while (store.add('here', 0) < size) await sleep(5);
    if (rank !== 1) await requireSameVersions(store, versions, { rank, size });
    return {};
  },

  async alone() {
    // Rank 0 waits longest: the store ends with it.
    await begin(process.env.RANK === '0' ? 4500 : 1500);
    return {};
  },

  async again() {
    const sums: number[][] = [];
    for (const value of [1, 2]) {
      await begin();
      const t = tensor([value]);
      distributed.allReduce(t);
      sums.push(values(t));
      distributed.destroyProcessGroup();
    }
    return { sums };
  },

  async endsFirst() {
    const rank = Number(process.env.RANK);
    await begin(rank === 0 ? 1000 : 20_000);
    return {};
  },

  async late() {
    const group = await impatient();
    if (getRank() === 1) {
      distributed.barrier({ group });
      await sleep(3500);
      return {};
    }
    distributed.barrier({ group });
    return lingering(() => distributed.allReduce(zeros([2, 3]), { group }));
  },

  async mismatch() {
    const group = await impatient();
    // Rank 0 is the first whose time is over; with that its connections end.
    if (getRank() === 1) await sleep(500);
    return lingering(() =>
      getRank() === 0
        ? distributed.allReduce(zeros([2]), { group })
        : distributed.broadcast(zeros([3]), 0, { group }),
    );
  },

  async storeKilled() {
    await begin(20_000);
    distributed.barrier();
    if (getRank() === 0) process.kill(process.pid, 'SIGKILL');
    await distributed.allReduce(zeros([4]), { asyncOp: true }).waitAsync();
    return {};
  },

  async killed() {
    await begin(20_000);
    distributed.barrier();
    if (getRank() === 1) process.kill(process.pid, 'SIGKILL');
    await distributed.allReduce(zeros([4]), { asyncOp: true }).waitAsync();
    return {};
  },

  async refused() {
    await begin();
    const message = (call: () => unknown) => {
      try {
        call();
        return null;
      } catch (error) {
        return (error as Error).message;
      }
    };
    const result = {
      transposed: message(() => distributed.allReduce(zeros([2, 3]).t())),
      whole: message(() => distributed.allReduce(tensor([1], { dtype: 'int64' }), { op: ReduceOp.AVG })),
      outside: message(() => distributed.broadcast(zeros([1]), 5)),
      twice: await distributed.initProcessGroup().then(
        () => null,
        (error: Error) => error.message,
      ),
    };
    distributed.barrier();
    return result;
  },

  async dataParallel() {
    await begin();
    const rank = getRank();
    manualSeed(rank);
    const net = new Net();
    const model = new distributed.DistributedDataParallel(net, { bucketCapMb: 2e-5 });
    const start = Object.fromEntries(Array.from(net.namedParameters(), ([name, p]) => [name, values(p)]));
    const optimizer = new optim.SGD(net.parameters(), { lr: 0.1 });
    const steps: unknown[] = [];
    for (let step = 0; step < 3; step++) {
      scope(() => {
        optimizer.zeroGrad();
        model
          .forward(rows(rank + 2 * step))
          .pow(2)
          .mean()
          .backward();
        steps.push(gradients(net));
        optimizer.step();
      });
    }
    const buckets = model.bucketSizes();
    optimizer.zeroGrad();
    scope(() => {
      model.noSync(() => model.forward(rows(rank)).sum().backward());
      const apart = values(net.second.bias!.grad!);
      model.forward(rows(rank)).sum().backward();
      steps.push({ apart, together: values(net.second.bias!.grad!) });
    });
    const end = values(net.first.weight);
    model.dispose();
    assert.throws(() => model.forward(rows(rank)), {
      code: 'DISTRIBUTED',
      message: 'DistributedDataParallel was disposed',
    });
    distributed.barrier();
    distributed.destroyProcessGroup();
    return { start, steps, buckets, end, mean: values(net.norm.runningMean!) };
  },

  async dataParallelOnThread() {
    native().alwaysUseBackwardThread(true);
    return (await programs.dataParallel?.()) ?? {};
  },

  async compressed() {
    await begin();
    const found: Record<string, unknown> = {};
    for (const compression of ['float16', 'bfloat16'] as const) {
      manualSeed(7);
      const net = new Net();
      const model = new distributed.DistributedDataParallel(net, { bucketCapMb: 2e-5, compression });
      scope(() => model.forward(rows(getRank())).pow(2).mean().backward());
      found[compression] = gradients(net);
      model.dispose();
    }
    assert.throws(
      () => new distributed.DistributedDataParallel(new Net(), { compression: 'int8' as 'float16' }),
      { code: 'VALUE', message: 'compression must be float16 or bfloat16, got int8' },
    );
    distributed.barrier();
    return found;
  },

  async unused() {
    await begin();
    const rank = getRank();
    manualSeed(0);
    const found: unknown[] = [];
    const tolerant = new Net();
    const finds = new distributed.DistributedDataParallel(tolerant, { findUnusedParameters: true });
    tolerant.skip = rank === 1;
    scope(() => finds.forward(rows(rank)).sum().backward());
    found.push(gradients(tolerant));
    const net = new Net();
    const model = new distributed.DistributedDataParallel(net);
    net.skip = true;
    scope(() => model.forward(rows(rank)).sum().backward());
    try {
      scope(() => model.forward(rows(rank)).sum().backward());
      found.push('no error');
    } catch (error) {
      found.push((error as Error).message);
    }
    distributed.barrier();
    return { found };
  },

  async otherShapes() {
    await begin();
    new distributed.DistributedDataParallel(new Net(getRank() === 0 ? 4 : 6));
    return {};
  },

  async lostInBackward() {
    await begin(20_000);
    const net = new Net();
    const model = new distributed.DistributedDataParallel(net);
    scope(() => model.forward(rows(0)).sum().backward());
    const loss = model.forward(rows(0)).sum();
    if (getRank() === 1) process.kill(process.pid, 'SIGKILL');
    await sleep(200);
    loss.backward();
    return {};
  },
};

const getRankIn = (group: distributed.ProcessGroup) => getRank(group);

await runProgram(programs);
