import type { SetupOptions, SetupPlan } from '@mezzo/libtorch';
import { decimalBytes } from './number-format.ts';
import { ProgressBar } from './progress.ts';
import type { Terminal } from './terminal.ts';

/** Before a command that computes: installs LibTorch and compiles the addon where they are missing. */
export async function prepareLibTorch(terminal: Terminal): Promise<void> {
  const { discoverLibTorch, findAddon, onNotice, planSetup } = await import('@mezzo/libtorch');
  onNotice(({ message }) => terminal.note(message));
  const { libtorch } = discoverLibTorch();
  if (libtorch !== undefined && findAddon({ libtorch }) !== undefined) return;
  await carryOut(planSetup(), {}, terminal);
}

/** Says what a plan fetches, how large it is and where it goes, and does it. Returns where the addon is. */
export async function carryOut(plan: SetupPlan, options: SetupOptions, terminal: Terminal): Promise<string> {
  const { setup } = await import('@mezzo/libtorch');
  const { install, compiles } = plan;
  if (install !== null && !install.present) {
    const { version, variant, downloadBytes, unpackedBytes } = install.pins;
    terminal.note(`Installing LibTorch ${version}, ${variant} set (${install.reason})`);
    terminal.note(
      `  ${decimalBytes(downloadBytes)} to download, ${decimalBytes(unpackedBytes)} on disk, in ${install.target}`,
    );
  }
  const controller = new AbortController();
  const interrupt = () => controller.abort();
  process.once('SIGINT', interrupt);
  const download = new ProgressBar(terminal, 'MB');
  let phase = '';
  let compilation: ProgressBar | undefined;
  try {
    const { addon } = await setup(plan, options, {
      signal: controller.signal,
      onInstall: (progress) => {
        if (progress.phase !== phase) {
          phase = progress.phase;
          download.finish();
          if (phase === 'waiting') terminal.note('  waiting for another installation to finish');
          if (phase === 'unpack') terminal.note('  unpacking');
        }
        if (phase !== 'download') return;
        download.update('  download', toMegabytes(progress.bytes), toMegabytes(progress.totalBytes));
      },
      onCompile: ({ done, total }) => {
        if (compilation === undefined) {
          if (total > 0 || compiles) terminal.note('Compiling the addon (about a minute, once)');
          compilation = new ProgressBar(terminal, 'file');
        }
        compilation.update('  compile', done, total);
      },
    });
    return addon;
  } finally {
    compilation?.finish();
    process.off('SIGINT', interrupt);
  }
}

function toMegabytes(bytes: number): number {
  return Math.round(bytes / 1e6);
}
