/**
 * Poles on carts, side by side: Barto, Sutton and Anderson, "Neuronlike adaptive elements that can solve
 * difficult learning control problems" (1983), without friction, with the limits of the CartPole-v0 task.
 */
const GRAVITY = 9.8; // m/s²
const CART = 1; // kg
const POLE = 0.1; // kg
const HALF_LENGTH = 0.5; // m
const FORCE = 10; // N, to the left or to the right
const TICK = 0.02; // s
const MAX_X = 2.4; // m
const MAX_ANGLE = (12 * Math.PI) / 180;

/** Steps after which a pole that still stands has won; the largest return. */
export const MAX_STEPS = 200;

/** One episode of `count` poles: every step in which a pole stands is a reward of 1. */
export class CartPoles {
  /** [count x 4]: x in m, its speed, angle in rad, its speed. A fallen pole's stays as it fell. */
  readonly state: Float32Array;
  /** 1 while a pole stands. */
  readonly standing: Float32Array;
  readonly count: number;
  private steps = 0;

  /** Each begins near rest: every number uniform in ±0.05. */
  constructor(count: number, draw: () => number) {
    this.count = count;
    this.state = Float32Array.from({ length: 4 * count }, () => 0.1 * draw() - 0.05);
    this.standing = new Float32Array(count).fill(1);
  }

  get over(): boolean {
    return this.steps === MAX_STEPS || !this.standing.includes(1);
  }

  /** Pushes every standing pole's cart left (0) or right (1) for one tick. */
  step(actions: ArrayLike<number | bigint>): void {
    for (let pole = 0; pole < this.count; pole++) {
      if (this.standing[pole] === 1) this.push(pole, Number(actions[pole]) === 1 ? FORCE : -FORCE);
    }
    this.steps++;
  }

  private push(pole: number, force: number): void {
    const state = this.state.subarray(4 * pole, 4 * pole + 4);
    const [x, speed, angle, turn] = state as unknown as [number, number, number, number];
    const [sin, cos] = [Math.sin(angle), Math.cos(angle)];
    const mass = CART + POLE;
    const pushed = (force + POLE * HALF_LENGTH * turn * turn * sin) / mass;
    const turning = (GRAVITY * sin - cos * pushed) / (HALF_LENGTH * (4 / 3 - (POLE * cos * cos) / mass));
    const moving = pushed - (POLE * HALF_LENGTH * turning * cos) / mass;
    state.set([x + TICK * speed, speed + TICK * moving, angle + TICK * turn, turn + TICK * turning]);
    if (Math.abs(state[0]!) > MAX_X || Math.abs(state[2]!) > MAX_ANGLE) this.standing[pole] = 0;
  }
}
