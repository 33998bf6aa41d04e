import { cuda, type DType, warn } from '@mezzo/torch';
import type { Policy } from './policy.ts';

/** A device as the rule sees it. */
export type PolicyDevice =
  | { readonly type: 'cpu' }
  | { readonly type: 'cuda'; readonly capability: readonly [major: number, minor: number] };

export interface RunnablePolicy {
  /** What the layers compute in there. */
  readonly computeDtype: DType;
  /** What the user should know; null when the policy runs as it is meant. */
  readonly warning: string | null;
}

/** What a policy means on a device: its own dtypes, or what runs instead, with the reason. */
export function policyOnDevice(policy: Policy, device: PolicyDevice): RunnablePolicy {
  const { computeDtype, name } = policy;
  if (device.type === 'cpu' && computeDtype === 'float16') {
    return {
      computeDtype,
      warning:
        `policy '${name}' on a CPU: float16 works here, but much slower than float32; ` +
        "'mixed_bfloat16' needs no loss scale and is fast on CPUs with native bfloat16",
    };
  }
  if (device.type === 'cuda' && computeDtype === 'bfloat16' && device.capability[0] < 8) {
    return {
      computeDtype: policy.variableDtype === 'bfloat16' ? 'bfloat16' : 'float32',
      warning:
        `policy '${name}' on a GPU of compute capability ${device.capability.join('.')}: it has no bfloat16 ` +
        "(8.0 and newer have), so layers compute in float32 instead; 'mixed_float16' is fast there from 7.0 on",
    };
  }
  return { computeDtype, warning: null };
}

const told = new Set<string>();

/** The compute dtype of a policy on a device such as 'cpu' or 'cuda:0'; warns once of what differs. */
export function computeDtypeOn(policy: Policy, device: string): DType {
  const kind: PolicyDevice = device.startsWith('cuda')
    ? { type: 'cuda', capability: cuda.getDeviceCapability(device) }
    : { type: 'cpu' };
  const { computeDtype, warning } = policyOnDevice(policy, kind);
  const key = `${policy.name} ${device}`;
  if (warning !== null && !told.has(key)) {
    told.add(key);
    warn('POLICY_ON_DEVICE', warning);
  }
  return computeDtype;
}

/** Warnings are told again. For tests and for a new session. */
export const forgetPolicyWarnings = (): void => told.clear();
