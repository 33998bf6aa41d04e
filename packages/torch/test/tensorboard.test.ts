import assert from 'node:assert/strict';
import { test } from 'node:test';
import { tensorboard } from '@mezzo/torch';

test('crc32c gives the values of RFC 3720', () => {
  const { crc32c } = tensorboard;
  assert.equal(crc32c(new Uint8Array(32)), 0x8a9136aa);
  assert.equal(crc32c(new Uint8Array(32).fill(255)), 0x62a8ab43);
  assert.equal(crc32c(Uint8Array.from({ length: 32 }, (_, i) => i)), 0x46dd794e);
  assert.equal(crc32c(new TextEncoder().encode('123456789')), 0xe3069283);
});
