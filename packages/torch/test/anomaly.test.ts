import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import {
  autocast,
  autograd,
  grad,
  isAnomalyCheckNanEnabled,
  isAnomalyEnabled,
  nn,
  ones,
  type Tensor,
  tensor,
} from '../src/index.ts';

const { AnomalyError, detectAnomaly, setDetectAnomaly } = autograd;

/** The AnomalyError that `fn` throws. */
function anomalyOf(fn: () => unknown): autograd.AnomalyError {
  try {
    fn();
  } catch (error) {
    assert.ok(error instanceof AnomalyError, String(error));
    return error;
  }
  throw new assert.AssertionError({ message: 'nothing was thrown' });
}

const leaf = (value: number) => tensor([value]).requiresGrad_();

/** 0 · d√x at x = 0 is 0 · ∞. */
const zeroTimesRoot = (x: Tensor) => x.sqrt().mul(0).sum();

class Root extends nn.Module {
  override forward(x: Tensor): Tensor {
    return zeroTimesRoot(x);
  }
}

describe('detectAnomaly', () => {
  test('names the backward node that gave NaN and the forward call that made it', () => {
    const x = leaf(0);
    const error = anomalyOf(() => detectAnomaly(() => new Root().forward(x).backward()));
    assert.equal(error.code, 'NAN_IN_BACKWARD');
    const [origin, ...others] = error.origins;
    assert.equal(origin!.node, 'SqrtBackward0');
    assert.deepEqual(others, []);
    const [where, caller] = origin!.stack!.split('\n').map((line) => line.trim());
    assert.match(where!, /^at zeroTimesRoot \(.*anomaly\.test\.js:\d+:\d+\)$/);
    assert.match(caller!, /^at Root\.forward \(.*anomaly\.test\.js:\d+:\d+\)$/);
    assert.equal(
      error.message,
      "Function 'SqrtBackward0' returned nan values in its 0th output.\n" +
        'Error detected in SqrtBackward0. Traceback of forward call that caused the error:\n' +
        origin!.stack,
    );
  });

  test('the frames of layers stay in the stack', () => {
    const model = new nn.Sequential(new nn.Identity(), new nn.Linear(1, 1));
    model.parameters()[0]!.detach().fill_(Number.NaN);
    const error = anomalyOf(() => detectAnomaly(() => model.forward(leaf(1)).sum().backward()));
    assert.equal(error.origins[0]!.node, 'AddmmBackward0');
    assert.match(error.origins[0]!.stack!, /at Linear\.forward .*\n.*at Sequential\.forward /);
  });

  test('without the mode a NaN passes', () => {
    const x = leaf(0);
    zeroTimesRoot(x).backward();
    assert.ok(Number.isNaN(x.grad!.item()));
  });

  test('with checkNan: false it passes too', () => {
    const x = leaf(0);
    detectAnomaly({ checkNan: false }, () => zeroTimesRoot(x).backward());
    assert.ok(Number.isNaN(x.grad!.item()));
  });

  test('a forward pass outside leaves no stack', () => {
    const loss = zeroTimesRoot(leaf(0));
    const error = anomalyOf(() => detectAnomaly(() => loss.backward()));
    assert.deepEqual(error.origins, [{ node: 'SqrtBackward0', stack: null }]);
    assert.equal(
      error.message,
      "Function 'SqrtBackward0' returned nan values in its 0th output.\n" +
        'Error detected in SqrtBackward0. No forward pass information available. Enable anomaly detection during ' +
        'the forward pass.',
    );
  });

  test('other failures of backward are located too, under their own code', () => {
    const run = () => {
      const y = leaf(2).exp();
      const loss = y.square().sum();
      y.add_(1);
      loss.backward();
    };
    const error = anomalyOf(() => detectAnomaly(run));
    assert.equal(error.code, 'TORCH');
    assert.equal(error.origins[0]!.node, 'PowBackward0');
    assert.match(error.message, /^one of the variables needed for gradient computation has been modified/);
    assert.match(error.message, /Traceback of forward call that caused the error:\n\s+at run /);
  });

  test('a node made by a backward names the node that made it', () => {
    const x = leaf(0);
    const error = anomalyOf(() =>
      detectAnomaly(() => {
        const first = grad(x.pow(1.5).sum(), x, { createGraph: true });
        first[0]!.mul(0).sum().backward();
      }),
    );
    const nodes = error.origins.map(({ node }) => node);
    assert.equal(nodes.at(-1), 'PowBackward0');
    assert.ok(nodes.length === 2, nodes.join());
    assert.match(
      error.message,
      /\nPrevious calculation was induced by PowBackward0\. Traceback of forward call/,
    );
  });

  test('under autocast', () => {
    const x = leaf(0);
    const error = anomalyOf(() =>
      detectAnomaly(() => {
        const loss = autocast({ device: 'cpu', dtype: 'bfloat16' }, () =>
          zeroTimesRoot(x.unsqueeze(0).mm(ones([1, 1]))),
        );
        loss.backward();
      }),
    );
    assert.equal(error.origins[0]!.node, 'SqrtBackward0');
  });

  test('the mode ends with the region, and an error of the program passes through', () => {
    const wrong = new Error('mine');
    assert.throws(
      () =>
        detectAnomaly(() => {
          assert.equal(isAnomalyEnabled(), true);
          throw wrong;
        }),
      wrong,
    );
    assert.equal(isAnomalyEnabled(), false);
    const frames = Error.stackTraceLimit;
    setDetectAnomaly(true, { checkNan: false });
    try {
      detectAnomaly(() => assert.equal(isAnomalyCheckNanEnabled(), true));
      assert.deepEqual([isAnomalyEnabled(), isAnomalyCheckNanEnabled()], [true, false]);
    } finally {
      setDetectAnomaly(false);
    }
    assert.equal(Error.stackTraceLimit, frames);
    assert.throws(() => detectAnomaly(async () => 1), { code: 'ASYNC_REGION' });
  });
});
