import assert from 'node:assert/strict';
import { test } from 'node:test';
import { manualSeed, ones, rand, randint, randn, tensor } from '@mezzo/torch';
import { CartPoles, MAX_STEPS } from '../data/cart-pole.ts';
import { uniform } from '../data/random.ts';
import { openRun } from '../lesson.ts';
import { ActorCritic, lesson, lossOf, returnsOf } from '../policy-gradient.ts';
import { DTYPES, oneStep } from './one-step.ts';

// What Gymnasium 1.4.0's CartPole gives for these starts and pushes.
const EPISODES = [
  {
    start: [0.01, -0.02, 0.03, 0.04],
    pushes: [1, 1, 0, 1, 0, 0, 1, 0, 1, 1],
    last: [0.040883446549237625, 0.368855081489579, -0.00943497526679633, -0.5147534776330063],
    standing: 1,
  },
  {
    start: [-0.05, 0.05, -0.05, 0.02],
    pushes: [0, 0, 0, 0, 0, 0, 0, 0, 0, 0],
    last: [-0.21526533489661526, -1.9011722517805125, 0.21056762981222132, 2.9951713756607914],
    standing: 0,
  },
];

test("carts and poles move as Gymnasium's do", () => {
  const poles = new CartPoles(EPISODES.length, uniform(0));
  for (const [i, { start }] of EPISODES.entries()) poles.state.set(start, 4 * i);
  for (let step = 0; step < 10; step++) poles.step(EPISODES.map(({ pushes }) => pushes[step]!));
  for (const [i, { last, standing }] of EPISODES.entries()) {
    assert.equal(poles.standing[i], standing);
    for (const [j, value] of last.entries()) {
      assert.ok(Math.abs(poles.state[4 * i + j]! - value) < 1e-5, `pole ${i}, number ${j}`);
    }
  }
  const fallen = poles.state.slice(4);
  poles.step([0, 1]);
  assert.deepEqual(poles.state.slice(4), fallen);
});

test('an episode ends when all have fallen, or when its time is up', () => {
  const poles = new CartPoles(2, uniform(0));
  let steps = 0;
  for (; !poles.over; steps++) poles.step([1, 1]);
  assert.ok(steps < 12 && !poles.standing.includes(1));

  const balanced = new CartPoles(1, uniform(0));
  for (steps = 0; !balanced.over; steps++) {
    const [x, speed, angle, turn] = balanced.state as unknown as [number, number, number, number];
    balanced.step([angle + 0.5 * turn + 0.02 * x + 0.05 * speed > 0 ? 1 : 0]);
  }
  assert.equal(steps, MAX_STEPS);
});

test('a return is the discounted sum of the rewards to come', () => {
  const returns = returnsOf(tensor([[1], [1], [0]])).mul(100);
  assert.ok(returns.allclose(tensor([[1.99], [1], [0]])));
  const endless = returnsOf(ones([2000, 1]));
  assert.ok(Math.abs(Number(endless.at(0, 0).item()) - 1) < 1e-4);
});

test('makes a finite step in every precision', () => {
  manualSeed(0);
  const net = new ActorCritic();
  const [states, actions, returns] = [randn([64, 4]), randint(0, 2, [64]), rand([64])];
  // A scale of 2^16 is too high at the start for fp16; in training it comes down by itself.
  for (const dtype of DTYPES) oneStep(dtype, net, () => lossOf(net, states, actions, returns).div(64));
});

test('balances all poles in bf16', async () => {
  const { untrained, trained } = await lesson.train(openRun({ seed: 0, dtype: 'bfloat16', device: 'cpu' }));
  assert.ok(untrained < 100, `untrained: ${untrained}`);
  assert.ok(trained >= lesson.goal, `trained: ${trained}`);
});
