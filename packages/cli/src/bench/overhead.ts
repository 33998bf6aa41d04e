import { native } from '@mezzo/libtorch';
import { arange, ops, scope, setNumThreads } from '@mezzo/torch';
import type { BenchRow } from './report.ts';
import { SideProcess } from './side-process.ts';
import { alternate, row, type Suite } from './suite.ts';

const CALLS = 200_000;
// One scope frees many results, as one scope frees a training step's.
const CALLS_A_SCOPE = 100;

function timed(calls: number, body: () => void): number[] {
  const begun = process.hrtime.bigint();
  body();
  return [Number(process.hrtime.bigint() - begun) / 1e9 / calls];
}

/** What calling an operator costs: `add` of 4 elements, its result freed. */
export const overhead: Suite = {
  name: 'overhead',
  about: 'one boxed aten::add of 4 elements, result freed, against torch.add in Python',
  size: { imgsz: 320, batch: 8 },
  async run({ peerPython, rounds }) {
    setNumThreads(1);
    const torch = native();
    const x = arange(4, { dtype: 'float32' });
    const y = arange(4, { dtype: 'float32' });
    const { id } = torch.lookup('aten::add', 'Tensor');
    const bridge = () =>
      timed(CALLS, () => {
        for (let i = 0; i < CALLS; i++) torch.free(torch.call(id, 3, x.handle, y.handle) as number);
      });
    const inScopes = (add: () => void) => () =>
      timed(CALLS, () => {
        for (let i = 0; i < CALLS / CALLS_A_SCOPE; i++) {
          scope(() => {
            for (let j = 0; j < CALLS_A_SCOPE; j++) add();
          });
        }
      });
    const disposed = inScopes(() => x.add(y).dispose());
    const method = inScopes(() => x.add(y));
    const wrapper = inScopes(() => ops.add(x, y));
    const sides: [string, () => number[]][] = [
      ['bridge: call and free a handle', bridge],
      ['Tensor.add, disposed at once', disposed],
      ['Tensor.add, freed by its scope', method],
      ['ops.add, freed by its scope', wrapper],
    ];
    for (const [, side] of sides) side();
    const peer = peerPython === null ? null : await SideProcess.python(peerPython, 'overhead.py');
    const python = () => (peer === null ? bridge() : peer.measure(CALLS));
    const rows: BenchRow[] = [];
    try {
      await python();
      for (const [name, side] of sides) {
        const b = peer === null ? 'bridge: call and free a handle' : 'torch.add in Python';
        rows.push(row(name, 's', { a: name, b }, await alternate(rounds, side, python)));
      }
    } finally {
      await peer?.stop();
    }
    return rows;
  },
};
