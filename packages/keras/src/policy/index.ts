export { LossScaleOptimizer } from '../optimizers/loss-scale-optimizer.ts';
export { forgetPolicyWarnings, type PolicyDevice, policyOnDevice, type RunnablePolicy } from './on-device.ts';
export { globalPolicy, Policy, setGlobalPolicy } from './policy.ts';
