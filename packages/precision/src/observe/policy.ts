import { type AutocastPolicyName, native } from '@mezzo/libtorch';
import type { amp } from '@mezzo/torch';

/** What autocast does with an operator: its list, 'none' for those that it leaves alone, 'passes' for a kernel that casts nothing. */
export type AutocastPolicy = AutocastPolicyName;

/**
 * What autocast does with an operator on a device. The dispatcher is asked, by a run of the operator's autocast
 * kernel on stand-ins that ends before anything is computed: no list is kept here, and CUDA's policies can be
 * asked for on a machine without a GPU.
 * @param name 'aten::conv2d'; a composite without a kernel of its own ('aten::upsample_nearest2d.vec') is 'none'
 * @throws TorchError NO_SUCH_OP
 */
export function autocastPolicy(name: string, device: amp.AutocastDevice, overload = ''): AutocastPolicy {
  const torch = native();
  return torch.autocastPolicy(torch.lookup(name, overload).id, device).policy;
}
