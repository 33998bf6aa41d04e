import { MezzoError, native } from '@mezzo/libtorch';
import { scope } from '../../tensor/scope.ts';
import type { Tensor } from '../../tensor/tensor.ts';
import { writeAtomically } from '../atomic.ts';
import { ptDType } from './dtypes.ts';
import { PickleCall, type PickleInput, PickleName, PickleReference, pickle } from './pickle-writer.ts';
import { ZipWriter } from './zip-writer.ts';

const ROOT = 'archive';
const ORDERED_DICT = new PickleName('collections', 'OrderedDict');
/** The version of torch.save's zip container. */
const CONTAINER_VERSION = '3\n';

/**
 * Writes a state dict as `torch.load(path, weights_only=True)` reads it: an OrderedDict of tensors on the CPU that need no
 * gradient. Each is written in row-major order with a storage of its own. Written atomically.
 * @throws MezzoError WRITE_FAILED, or UNSUPPORTED_DTYPE for a dtype the format lacks
 */
export function savePt(path: string, tensors: Readonly<Record<string, Tensor>>): void {
  const entries = Object.entries(tensors).map(([name, tensor], i): [string, PickleInput] => [
    name,
    describeTensor(name, tensor, String(i)),
  ]);
  writeAtomically(path, (fd) => {
    const zip = new ZipWriter(fd);
    zip.add(`${ROOT}/data.pkl`, pickle(new PickleCall(ORDERED_DICT, [], entries)));
    zip.add(`${ROOT}/byteorder`, Buffer.from('little'));
    Object.values(tensors).forEach((tensor, i) => {
      scope(() => {
        const rowMajor = tensor.detach().cpu().contiguous();
        const bytes =
          rowMajor.numel() > 0 ? new Uint8Array(native().bytesView(rowMajor.handle)) : new Uint8Array();
        zip.add(`${ROOT}/data/${i}`, bytes);
      });
    });
    zip.add(`${ROOT}/version`, Buffer.from(CONTAINER_VERSION));
    zip.finish();
  });
}

/** The call that rebuilds a tensor; dtypes younger than typed storages need the newer function. */
function describeTensor(name: string, tensor: Tensor, key: string): PickleCall {
  const known = ptDType(tensor.dtype);
  if (known === undefined) {
    throw new MezzoError(
      'UNSUPPORTED_DTYPE',
      `savePt: '${name}' is ${tensor.dtype}, which a .pt file cannot hold`,
    );
  }
  const { shape } = tensor;
  const numel = shape.reduce((product, size) => product * size, 1);
  const strides = shape.map((_, i) =>
    shape.slice(i + 1).reduce((product, size) => product * Math.max(1, size), 1),
  );
  const hooks = new PickleCall(ORDERED_DICT, []);
  const view = (storage: PickleReference): PickleInput[] => [storage, 0, shape, strides, false, hooks];
  const { storage, bytes, dtype } = known;
  if (storage !== null) {
    const typed = new PickleReference(['storage', new PickleName('torch', storage), key, 'cpu', numel]);
    return new PickleCall(new PickleName('torch._utils', '_rebuild_tensor_v2'), view(typed));
  }
  const untyped = new PickleName('torch.storage', 'UntypedStorage');
  return new PickleCall(new PickleName('torch._utils', '_rebuild_tensor_v3'), [
    ...view(new PickleReference(['storage', untyped, key, 'cpu', numel * bytes])),
    new PickleName('torch', dtype),
  ]);
}
