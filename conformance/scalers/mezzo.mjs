/** The adapter of Mezzo's engine, and an example of one: node run.mjs mezzo.mjs */
import { amp } from '@mezzo/torch';

export function create({ system, rule: traced }) {
  const rule = { ...amp.TORCH_RULE, ...traced, name: system };
  let state = amp.startOf(rule);
  return {
    step(overflow) {
      const next = amp.advance(rule, state, { overflow, largest: null });
      const skipped = next.state.skipped > state.skipped;
      state = next.state;
      const raised = rule.raiseAtFloor && next.change === 'at floor';
      return { scale: state.scale, tracker: state.tracker, patience: state.patience, skipped, raised };
    },
  };
}
