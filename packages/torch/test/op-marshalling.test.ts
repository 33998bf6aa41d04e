import assert from 'node:assert/strict';
import { test } from 'node:test';
import { native } from '@mezzo/libtorch';
import { Generator, ones, scope } from '../src/index.ts';
import { bindArguments } from '../src/ops/bind.ts';
import { marshal, maskOf } from '../src/ops/call.ts';
import { opNamesOf, overloadsOf } from '../src/ops/registry.ts';
import { type ArgType, type Signature, signatureOf } from '../src/ops/schema.ts';

/** A value of each base type of the schemas. */
const VALUES: Record<string, () => unknown> = {
  Tensor: () => ones([1]),
  Generator: () => new Generator(),
  bool: () => true,
  int: () => 3,
  float: () => 0.5,
  Scalar: () => 2.5,
  dtype: () => 'float32',
  layout: () => 'strided',
  Device: () => 'cpu',
  MemoryFormat: () => 'contiguous',
  str: () => 'mean',
};

/** Schema texts of results that reach JavaScript. */
const RESULTS = new Set(['Tensor', 'List[Tensor]', 'int', 'bool', 'float', 'number', 'ScalarType']);

/** What cannot be built or returned, and why. Nothing else may be missing. */
const REASONS: Record<string, string> = {
  Storage: 'a bare storage has no object in JavaScript; tensors share memory through views',
  Stream: 'CUDA streams have no object in JavaScript',
  'List[__torch__.torch.classes.rnn.CellParamsBase]': 'quantized RNN cells are objects of Python and C++',
  'Dict[Tensor, Tensor]': 'belongs to distributed autograd, whose contexts are not reachable',
  QScheme: 'quantization schemes are not modelled',
};

const build = (type: ArgType): unknown => {
  const value = VALUES[type.base]!();
  return type.list ? new Array(type.length || 2).fill(value) : value;
};

/** undefined when every argument crosses and every result could come back. */
function obstacle(signature: Signature): string | undefined {
  const foreign = signature.parameters.find(({ type }) => !(type.base in VALUES));
  if (foreign !== undefined) return foreign.type.base;
  const result = signature.op.returns.find(({ type }) => !RESULTS.has(type));
  if (result !== undefined) return result.type;
  const values = Object.fromEntries(signature.parameters.map(({ info, type }) => [info.name, build(type)]));
  const bound = bindArguments(signature, [], values);
  if (typeof bound === 'function') return bound();
  native().check(signature.op.id, maskOf(signature, bound), ...marshal(signature, bound));
  return undefined;
}

test('arguments for at least 99 % of the aten overloads can be built and pass the native check', (t) => {
  const missing: string[] = [];
  let total = 0;
  for (const name of opNamesOf('aten')) {
    for (const overload of overloadsOf(name)) {
      total++;
      const signature = signatureOf(native().lookup(name, overload));
      const reason = scope(() => obstacle(signature));
      if (reason === undefined) continue;
      assert.ok(reason in REASONS, `${signature.label}: ${reason}`);
      missing.push(`${signature.label}: ${REASONS[reason]}`);
    }
  }
  t.diagnostic(`${total - missing.length} of ${total} overloads; without:\n${missing.join('\n')}`);
  assert.ok(total > 3000, `only ${total} overloads`);
  assert.ok(missing.length <= total / 100, `${missing.length} of ${total} overloads do not marshal`);
});

test('the native check refuses what the schema does not allow', () => {
  const add = native().lookup('aten::add', 'Tensor');
  const a = ones([1]).handle;
  const refused = (message: string) => ({ code: 'BAD_ARGUMENT', message });
  assert.throws(
    () => native().check(add.id, 1, a, 'two'),
    refused("aten::add: argument 'other' (Tensor) got string"),
  );
  assert.throws(
    () => native().check(add.id, 3, a, a, [1]),
    refused("aten::add: argument 'alpha' (Scalar) got array"),
  );
  assert.throws(
    () => native().check(add.id, 1, a),
    refused("aten::add: argument 'other' (Tensor) is missing"),
  );
  assert.throws(
    () => native().check(add.id, 3, a, a, 1, 2),
    refused('aten::add: takes at most 3 arguments, got 4'),
  );
});
