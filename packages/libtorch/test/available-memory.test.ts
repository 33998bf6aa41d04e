import assert from 'node:assert/strict';
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { test } from 'node:test';
import { availableMemory } from '../src/available-memory.ts';

const MIB = 2 ** 20;

/** Lays out files as the kernel shows them, and asks there. */
function available(files: Readonly<Record<string, string>>): number {
  const system = mkdtempSync(path.join(tmpdir(), 'mezzo-system-'));
  try {
    for (const [name, text] of Object.entries(files)) {
      mkdirSync(path.dirname(path.join(system, name)), { recursive: true });
      writeFileSync(path.join(system, name), text);
    }
    return availableMemory(system);
  } finally {
    rmSync(system, { recursive: true });
  }
}

const MEMINFO = `MemTotal:       ${16 * 1024 * 1024} kB\nMemFree:  100 kB\nMemAvailable:   ${8 * 1024 * 1024} kB\n`;

test('without a control group: what the system has available', () => {
  assert.equal(available({ 'proc/meminfo': MEMINFO }), 8192 * MIB);
  assert.equal(available({ 'proc/meminfo': MEMINFO, 'proc/self/cgroup': '0::/\n' }), 8192 * MIB);
});

test('version 2: the tightest level counts, page cache is free, max is no limit', () => {
  const group = 'sys/fs/cgroup/jobs/one';
  const files = {
    'proc/meminfo': MEMINFO,
    'proc/self/cgroup': '0::/jobs/one\n',
    [`${group}/memory.max`]: `${2048 * MIB}\n`,
    [`${group}/memory.current`]: `${1024 * MIB}\n`,
    [`${group}/memory.stat`]: `anon 5\ninactive_file ${256 * MIB}\nactive_file 7\n`,
    'sys/fs/cgroup/jobs/memory.max': 'max\n',
    'sys/fs/cgroup/jobs/memory.current': `${1500 * MIB}\n`,
    'sys/fs/cgroup/jobs/memory.stat': 'inactive_file 0\n',
  };
  assert.equal(available(files), 1280 * MIB);
  assert.equal(available({ ...files, 'sys/fs/cgroup/jobs/memory.max': `${1600 * MIB}\n` }), 100 * MIB);
  // Beyond its limit there is nothing left, not less than nothing.
  assert.equal(available({ ...files, 'sys/fs/cgroup/jobs/memory.max': `${1400 * MIB}\n` }), 0);
});

test('version 1: the same by its own names; an unset limit is a number near 2^63', () => {
  const group = 'sys/fs/cgroup/memory/docker/abc';
  const files = {
    'proc/meminfo': MEMINFO,
    'proc/self/cgroup': '9:name=systemd:/\n4:memory:/docker/abc\n0::/\n',
    'sys/fs/cgroup/memory/memory.limit_in_bytes': '9223372036854771712\n',
    'sys/fs/cgroup/memory/memory.usage_in_bytes': `${3000 * MIB}\n`,
    'sys/fs/cgroup/memory/memory.stat': 'total_inactive_file 4096\n',
    [`${group}/memory.limit_in_bytes`]: `${1024 * MIB}\n`,
    [`${group}/memory.usage_in_bytes`]: `${800 * MIB}\n`,
    [`${group}/memory.stat`]: `inactive_file 1\ntotal_inactive_file ${300 * MIB}\n`,
  };
  assert.equal(available(files), 524 * MIB);
});
