/**
 * Eight carts learn together to keep their poles upright, from nothing but how long each of them stood.
 *
 *     ./mezzo example policy-gradient
 *
 * Method: Williams, REINFORCE (Simple Statistical Gradient-Following Algorithms, 1992), with a learned baseline as in
 * Sutton and Barto, Reinforcement Learning, section 13.4. The task is solved at a mean return of 195 out of 200.
 */
import { nn, noGrad, ops, optim, scope, stack, type Tensor, tensor } from '@mezzo/torch';
import { CartPoles, MAX_STEPS } from './data/cart-pole.ts';
import { uniform } from './data/random.ts';
import type { Lesson, Run } from './lesson.ts';

const UPDATES = 200;
const POLES = 8;
const HIDDEN = 64;
const LR = 1e-2; // falls to zero
const DISCOUNT = 0.99; // of a reward, for each step that it lies ahead
const CRITIC = 10; // weight of the critic's loss
const ENTROPY = 0.01; // weight of being undecided, which keeps it trying both
const TEST_EPISODES = 20;

/** Two heads on one body: a preference for each push, and the return to expect. */
export class ActorCritic extends nn.Module {
  readonly body = new nn.Linear(4, HIDDEN);
  readonly actor = new nn.Linear(HIDDEN, 2);
  readonly critic = new nn.Linear(HIDDEN, 1);

  override forward(state: Tensor): { logits: Tensor; value: Tensor } {
    const hidden = this.body.forward(state).tanh();
    return { logits: this.actor.forward(hidden), value: this.critic.forward(hidden).squeeze(-1) };
  }
}

type Choice = (logits: Tensor) => Tensor;
const sampled: Choice = (logits) => ops.multinomial(logits.softmax(-1), 1).squeeze(-1);
const preferred: Choice = (logits) => logits.argmax(-1);

/** Plays an episode: S steps of P poles. `stood` is 1 while a pole stands, which is also the reward. */
function play(net: ActorCritic, poles: CartPoles, choice: Choice, { amp, device }: Run) {
  const [states, actions, stood]: [Tensor[], Tensor[], Tensor[]] = [[], [], []];
  noGrad(() => {
    while (!poles.over) {
      const state = tensor(poles.state, { shape: [poles.count, 4], device });
      const action = choice(amp(() => net.forward(state)).logits.float());
      states.push(state);
      actions.push(action);
      stood.push(tensor(poles.standing, { device }));
      poles.step(action.toTypedArray());
    }
  });
  return { state_SPx4: stack(states), action_SP: stack(actions), stood_SP: stack(stood) };
}

/** Discounted sum of the rewards from each step on, as a share of the most there can be. */
export function returnsOf(reward_SP: Tensor): Tensor {
  const backwards: Tensor[] = [];
  for (const reward of reward_SP.unbind().reverse()) {
    backwards.push(reward.add(backwards.at(-1)?.mul(DISCOUNT) ?? 0));
  }
  return stack(backwards.reverse()).mul(1 - DISCOUNT);
}

/** Makes a push likelier the more its return surprised the critic, and the critic less surprised. N steps. */
export function lossOf(net: ActorCritic, state_Nx4: Tensor, action_N: Tensor, return_N: Tensor): Tensor {
  const { logits, value } = net.forward(state_Nx4);
  const logp_Nx2 = logits.float().logSoftmax(1);
  const logp_N = logp_Nx2.gather(1, action_N.unsqueeze(1)).squeeze(1);
  const surprise_N = return_N.sub(value.float());
  const fixed_N = surprise_N.detach();
  const advantage_N = fixed_N.sub(fixed_N.mean()).div(fixed_N.std().add(1e-6));
  const entropy_N = logp_Nx2.exp().mul(logp_Nx2).sum(1).neg();
  const actor = logp_N.mul(advantage_N).add(entropy_N.mul(ENTROPY)).mean().neg();
  return actor.add(surprise_N.pow(2).mean().mul(CRITIC));
}

/** Mean return of episodes that training never saw, always with the preferred push. */
function test(net: ActorCritic, run: Run): number {
  const poles = new CartPoles(TEST_EPISODES, uniform(run.seed + 1000));
  return scope(() => Number(play(net, poles, preferred, run).stood_SP.sum().item()) / TEST_EPISODES);
}

function train(run: Run) {
  const draw = uniform(run.seed);
  const net = new ActorCritic().to(run.device);
  const optimizer = new optim.Adam(net.parameters(), { lr: LR });
  const schedule = new optim.lrScheduler.LambdaLR(optimizer, (update) => 1 - update / UPDATES);
  const untrained = test(net, run);

  for (let update = 1; update <= UPDATES; update++) {
    scope(() => {
      const { state_SPx4, action_SP, stood_SP } = play(net, new CartPoles(POLES, draw), sampled, run);
      const learn = stood_SP.gt(0); // nothing is learned from lying
      const [states, actions, returns] = [
        state_SPx4.at(learn),
        action_SP.at(learn),
        returnsOf(stood_SP).at(learn),
      ];
      const loss = run.amp(() => lossOf(net, states, actions, returns));
      optimizer.zeroGrad();
      run.scaler.scale(loss).backward();
      run.scaler.unscale_(optimizer);
      nn.utils.clipGradNorm_(net.parameters(), 0.5);
      run.scaler.step(optimizer);
      run.scaler.update();
      schedule.step();
      run.progress(update, UPDATES, `return ${(states.shape[0]! / POLES).toFixed(1)}`);
    });
  }
  return { untrained, trained: test(net, run) };
}

export const lesson: Lesson = {
  about: 'Eight carts learn together to keep their poles upright.',
  source: 'Williams, REINFORCE (1992); Sutton and Barto, Reinforcement Learning, section 13.4',
  measure: 'mean return',
  goal: 195,
  points: MAX_STEPS / 100,
  train,
};
