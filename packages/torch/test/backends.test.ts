import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import {
  areDeterministicAlgorithmsEnabled,
  backends,
  cuda,
  memory,
  scope,
  useDeterministicAlgorithms,
  zeros,
} from '../src/index.ts';

const noGpu = cuda.isAvailable() ? 'there is a CUDA device' : false;
const needsGpu = cuda.isAvailable() ? false : 'needs a CUDA device';

describe('switches are read back as they were set', () => {
  const switches: [string, { [key: string]: unknown }, string][] = [
    ['cudnn.benchmark', backends.cudnn, 'benchmark'],
    ['cudnn.deterministic', backends.cudnn, 'deterministic'],
    ['cudnn.allowTf32', backends.cudnn, 'allowTf32'],
    ['cuda.matmul.allowTf32', backends.cuda.matmul, 'allowTf32'],
    ['mkldnn.enabled', backends.mkldnn, 'enabled'],
  ];
  for (const [name, owner, key] of switches) {
    test(name, () => {
      const before = owner[key];
      for (const on of [true, false, true]) {
        owner[key] = on;
        assert.equal(owner[key], on);
      }
      owner[key] = before;
    });
  }

  test('deterministic algorithms', () => {
    useDeterministicAlgorithms(true);
    assert.equal(areDeterministicAlgorithmsEnabled(), true);
    useDeterministicAlgorithms(false);
    assert.equal(areDeterministicAlgorithmsEnabled(), false);
  });
});

test('PyTorch’s defaults: TF32 for convolutions, not for matrix products', () => {
  assert.deepEqual(
    [backends.cudnn.allowTf32, backends.cuda.matmul.allowTf32, backends.cudnn.benchmark],
    [true, false, false],
  );
});

test('the CPU is described', () => {
  assert.match(backends.cpu.getCpuCapability(), /^(DEFAULT|AVX2|AVX512|NO AVX)/);
  assert.equal(typeof backends.mkldnn.isAvailable(), 'boolean');
});

test('memory.stats counts live tensors and bytes, the peak and its reset', () => {
  memory.collectGarbage();
  scope(() => {
    const before = memory.stats();
    scope(() => {
      zeros([1024, 256]);
      const inside = memory.stats();
      assert.equal(inside.liveTensors - before.liveTensors, 1);
      const grown = inside.liveBytes - before.liveBytes;
      assert.ok(grown >= 2 ** 20 && grown < 2 ** 20 + 2 ** 16, `${grown} bytes`);
    });
    const after = memory.stats();
    assert.deepEqual([after.liveTensors, after.liveBytes], [before.liveTensors, before.liveBytes]);
    assert.ok(after.peakBytes >= before.liveBytes + 2 ** 20);
    memory.resetPeak();
    assert.equal(memory.stats().peakBytes, before.liveBytes);
  });
});

test('a memory limit turns an allocation into an error that leaves nothing behind', () => {
  const before = memory.stats();
  memory.setLimit(before.liveBytes + 2 ** 20);
  try {
    assert.throws(() => zeros([1024, 1024]), { name: 'TorchError', code: 'OUT_OF_MEMORY' });
  } finally {
    memory.setLimit(0);
  }
  assert.ok(memory.stats().liveBytes <= before.liveBytes);
  zeros([1024, 1024]).dispose();
});

describe('cuda', () => {
  test('without a GPU: absent, and every question about it says so', { skip: noGpu }, () => {
    assert.deepEqual([cuda.isAvailable(), cuda.deviceCount(), cuda.isBf16Supported()], [false, 0, false]);
    const calls = [
      () => cuda.getDeviceCapability(),
      () => cuda.getDeviceName(),
      () => cuda.memoryAllocated(),
      () => cuda.maxMemoryAllocated(),
      () => cuda.memoryReserved(),
      () => cuda.resetPeakMemoryStats(),
      () => cuda.synchronize(),
      () => cuda.emptyCache(),
      () => new cuda.Event().record(),
    ];
    for (const call of calls) assert.throws(call, { name: 'TorchError', code: 'CUDA_MISSING' });
  });

  test('a device that is none is refused', () => {
    assert.throws(() => cuda.synchronize('cpu'), {
      name: 'TorchError',
      code: 'BAD_ARGUMENT',
      message: 'Expected a cuda device, but got: cpu',
    });
  });

  test('with a GPU: an event is done once the device has come to it', { skip: needsGpu }, () => {
    const event = new cuda.Event();
    assert.equal(event.query(), true);
    zeros([1024, 1024], { device: 'cuda' }).add_(1);
    event.record();
    cuda.synchronize();
    assert.equal(event.query(), true);
    assert.equal(event.query(), true);
  });

  test('with a GPU: the time between two events, NaN until the device has come to the second', {
    skip: needsGpu,
  }, () => {
    const [from, to] = [new cuda.Event({ enableTiming: true }), new cuda.Event({ enableTiming: true })];
    assert.throws(() => from.elapsedTime(to), { code: 'BAD_ARGUMENT', message: 'no such CUDA event' });
    from.record();
    let x = zeros([4096, 4096], { device: 'cuda' });
    for (let i = 0; i < 100; i++) x = x.matmul(x);
    to.record();
    // Nothing waits: the device has just begun.
    assert.ok(Number.isNaN(from.elapsedTime(to)));
    to.wait();
    assert.ok(from.elapsedTime(to) > 0);
    assert.equal(to.query(), true);
    assert.throws(() => from.elapsedTime(to), { code: 'BAD_ARGUMENT', message: 'no such CUDA event' });
  });

  test('with a GPU: name, capability and memory', { skip: needsGpu }, () => {
    assert.ok(cuda.getDeviceName().length > 0);
    assert.equal(cuda.isBf16Supported({ includingEmulation: false }), cuda.getDeviceCapability()[0] >= 8);
    cuda.resetPeakMemoryStats();
    const before = cuda.memoryAllocated();
    const held = zeros([1024, 256], { device: 'cuda' });
    assert.equal(cuda.memoryAllocated() - before, 2 ** 20);
    assert.ok(cuda.maxMemoryAllocated() >= before + 2 ** 20);
    assert.ok(cuda.memoryReserved() >= cuda.memoryAllocated());
    held.dispose();
    cuda.synchronize();
    cuda.emptyCache();
    assert.equal(cuda.memoryAllocated(), before);
  });
});
