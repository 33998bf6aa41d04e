import assert from 'node:assert/strict';
import { after, test } from 'node:test';
import { availableMemory } from '@mezzo/libtorch';
import { empty, memory } from '@mezzo/torch';
import { HostMemoryLimit, roomForTensors } from '../src/engine/memory-limit.ts';
import { readableSize } from '../src/engine/memory-size.ts';

const MIB = 2 ** 20;

after(() => memory.setLimit(0));

test('what the system has left is the limit of tensors, and an allocation beyond it is an error', () => {
  const limit = new HostMemoryLimit();
  try {
    const { limitBytes, liveBytes } = memory.stats();
    assert.ok(limitBytes > liveBytes);
    assert.ok(limitBytes < liveBytes + availableMemory() + process.memoryUsage.rss());
    assert.throws(() => empty([limitBytes + MIB], { dtype: 'uint8' }), {
      code: 'OUT_OF_MEMORY',
      message: `CPU out of memory: ${limitBytes + MIB} bytes wanted, ${liveBytes} in use, limit ${limitBytes}`,
    });
  } finally {
    limit.lift();
  }
  assert.equal(memory.stats().limitBytes, 0);
});

test('a limit that was set before stays', () => {
  memory.setLimit(123 * MIB);
  const limit = new HostMemoryLimit();
  limit.follow();
  assert.equal(memory.stats().limitBytes, 123 * MIB);
  assert.equal(roomForTensors(), 123 * MIB);
  limit.lift();
  assert.equal(memory.stats().limitBytes, 123 * MIB);
});

test('sizes as people read them', () => {
  assert.deepEqual([512, 3 * MIB, 1023.6 * MIB, 2560 * MIB].map(readableSize), [
    '1 KiB',
    '3 MiB',
    '1024 MiB',
    '2.50 GiB',
  ]);
});
