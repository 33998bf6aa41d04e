import assert from 'node:assert/strict';
import { execFileSync, spawnSync } from 'node:child_process';
import { existsSync, mkdirSync, readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { hostname } from 'node:os';
import path from 'node:path';
import { type TestContext, test } from 'node:test';
import { pathToFileURL } from 'node:url';
import { discoverLibTorch } from '../src/discover.ts';
import { type InstallOptions, type InstallProgress, installLibTorch, planTarget } from '../src/install.ts';
import { pipFailure } from '../src/install-failure.ts';
import { LINES, readPins } from '../src/pins.ts';
import { temporaryFolder } from './fake-libtorch.ts';

const PYTHON = execFileSync('python3', ['-c', 'import sys; print(sys.executable)'], {
  encoding: 'utf8',
}).trim();

// A wheel with the files by which LibTorch is recognised; prints its SHA-256.
const BUILD_WHEEL = `
import hashlib, sys, zipfile
folder, version = sys.argv[1:]
name = f'{folder}/torch-{version}-cp312-cp312-manylinux_2_28_x86_64.whl'
info = f'torch-{version}.dist-info'
files = {
  'torch/version.py': f"__version__ = '{version}+cu132'\\ncuda = '13.2'\\n",
  'torch/lib/libc10.so': '', 'torch/lib/libtorch_cpu.so': '',
  'torch/include/ATen/core/dispatch/Dispatcher.h': '',
  f'{info}/METADATA': f'Metadata-Version: 2.1\\nName: torch\\nVersion: {version}\\n',
  f'{info}/WHEEL': 'Wheel-Version: 1.0\\nRoot-Is-Purelib: false\\nTag: cp312-cp312-manylinux_2_28_x86_64\\n',
}
with zipfile.ZipFile(name, 'w') as wheel:
  for file, text in files.items(): wheel.writestr(file, text)
  wheel.writestr(f'{info}/RECORD', ''.join(f'{file},,\\n' for file in files) + f'{info}/RECORD,,\\n')
print(hashlib.sha256(open(name, 'rb').read()).hexdigest())`;

interface Shop {
  home: string;
  options: InstallOptions;
  pin: (line: string, unpacked?: number) => void;
  entries: () => string[];
}

/** A folder of wheels that pip may take from and nothing else, with pins for the one wheel in it. */
function shop(t: TestContext): Shop {
  const folder = temporaryFolder(t);
  const [wheels, pins, home] = ['wheels', 'pins', 'home'].map((name) => path.join(folder, name)) as [
    string,
    string,
    string,
  ];
  mkdirSync(wheels);
  mkdirSync(pins);
  const hash = execFileSync(PYTHON, ['-c', BUILD_WHEEL, wheels, '2.15.0'], { encoding: 'utf8' }).trim();
  const pin = (line: string, unpacked = 1000) =>
    writeFileSync(path.join(pins, '2.15.0-cpu.txt'), `# unpacked: ${unpacked} bytes\n${line}\n`);
  pin(`torch==2.15.0 --hash=sha256:${hash}  # 900 bytes`);
  const env = {
    PATH: process.env.PATH,
    HOME: folder,
    MEZZO_HOME: home,
    MEZZO_PYTHON: PYTHON,
    PIP_NO_INDEX: '1',
    PIP_FIND_LINKS: wheels,
  };
  const options: InstallOptions = {
    version: '2.15.0',
    variant: 'cpu',
    env,
    pinsFolder: pathToFileURL(`${pins}/`),
  };
  return { home, options, pin, entries: () => readdirSync(path.join(home, 'libtorch')).sort() };
}

test('the pinned wheels become a copy that is found, with a receipt and nothing else', async (t) => {
  const { home, options, entries } = shop(t);
  assert.equal(planTarget(options).present, false);
  const phases: string[] = [];
  const onProgress = ({ phase }: InstallProgress) => phases.push(phase);
  const { chosenAt, ...install } = await installLibTorch({ ...options, onProgress });
  assert.deepEqual(install, {
    version: '2.15.0',
    variant: 'cpu',
    pins: planTarget(options).pins.digest,
    bytesOnDisk: 1000,
    path: path.join(home, 'libtorch/2.15.0-cpu'),
  });
  assert.ok(Math.abs(Date.now() - Date.parse(chosenAt)) < 60_000);
  assert.deepEqual(entries(), ['2.15.0-cpu']);
  assert.equal(phases[0], 'download');
  assert.equal(phases.at(-1), 'done');
  assert.equal(planTarget(options).present, true);
  const { libtorch } = discoverLibTorch(options.env);
  assert.equal(libtorch?.path, path.join(home, 'libtorch/2.15.0-cpu/torch'));

  // Now nothing is left to do, so neither Python nor pip is needed.
  const again = await installLibTorch({ ...options, env: { ...options.env, MEZZO_PYTHON: '/nowhere' } });
  assert.ok(again.chosenAt >= chosenAt);
  // A copy that somebody damaged is made whole by force.
  writeFileSync(path.join(home, 'libtorch/2.15.0-cpu/torch/version.py'), '');
  await installLibTorch({ ...options, force: true });
  assert.equal(discoverLibTorch(options.env).libtorch?.version, '2.15.0+cu132');
  assert.deepEqual(entries(), ['2.15.0-cpu']);
});

test('a file that is not the pinned one is refused and nothing stays', async (t) => {
  const { options, pin, entries } = shop(t);
  pin(`torch==2.15.0 --hash=sha256:${'0'.repeat(64)}  # 900 bytes`);
  await assert.rejects(installLibTorch(options), {
    name: 'MezzoError',
    code: 'HASH_MISMATCH',
    hint: 'check the package index that pip is configured with (pip config list), or set LIBTORCH to a LibTorch folder that is here already',
  });
  assert.deepEqual(entries(), []);
});

test('an index without the package', async (t) => {
  const { options, pin, entries } = shop(t);
  pin(`torch==2.15.7 --hash=sha256:${'0'.repeat(64)}  # 900 bytes`);
  await assert.rejects(installLibTorch(options), {
    code: 'INSTALL_FAILED',
    message: /^The package index that pip is configured with lacks a pinned package\.\n {2}ERROR: /,
  });
  assert.deepEqual(entries(), []);
});

test('no network', async (t) => {
  const { options, entries } = shop(t);
  const { PIP_NO_INDEX: _, ...online } = options.env ?? {};
  const env = { ...online, PIP_INDEX_URL: 'http://127.0.0.1:9/simple', PIP_FIND_LINKS: '', PIP_RETRIES: '1' };
  await assert.rejects(installLibTorch({ ...options, env }), {
    code: 'NETWORK',
    message: /^pip could not reach the package index\./,
    hint: 'check the network and the proxy settings and run mezzo setup again, or set LIBTORCH to a LibTorch folder that is here already',
  });
  assert.deepEqual(entries(), []);
});

test('a Python without pip, and no Python', async (t) => {
  const { home, options } = shop(t);
  const venv = path.join(home, '../venv');
  execFileSync(PYTHON, ['-m', 'venv', '--without-pip', venv]);
  const env = { ...options.env, MEZZO_PYTHON: path.join(venv, 'bin/python3') };
  await assert.rejects(installLibTorch({ ...options, env }), {
    code: 'PIP_MISSING',
    message: `LibTorch is installed by pip, and this Python has none.\n  ${venv}/bin/python3: No module named pip`,
    hint: 'apt-get install python3-pip (Debian, Ubuntu), or set MEZZO_PYTHON to a Python with pip',
  });
  await assert.rejects(installLibTorch({ ...options, env: { ...env, MEZZO_PYTHON: 'no-python' } }), {
    code: 'PYTHON_MISSING',
    message: 'LibTorch is installed by pip, and there is no no-python on this machine.',
    hint: 'apt-get install python3 python3-pip (Debian, Ubuntu), or set MEZZO_PYTHON to a Python 3',
  });
});

test('too little room is said before anything is downloaded', async (t) => {
  const { options, pin, entries } = shop(t);
  pin(`torch==2.15.0 --hash=sha256:${'0'.repeat(64)}  # 900 bytes`, 1e18);
  await assert.rejects(installLibTorch(options), {
    code: 'DISK_FULL',
    message:
      /^No room for LibTorch 2\.15\.0 in .*\/home\/libtorch: it needs 1000000000\.0 GB while installing, .* are free\.$/,
    hint: 'free disk space, or set MEZZO_HOME to a folder on another disk',
  });
  assert.deepEqual(entries(), []);
});

test('a folder that may not be written', async (t) => {
  const { options } = shop(t);
  await assert.rejects(installLibTorch({ ...options, env: { ...options.env, MEZZO_HOME: '/sys/mezzo' } }), {
    code: 'NO_PERMISSION',
    message: 'LibTorch cannot be installed: no permission to write in /sys/mezzo/libtorch.',
    hint: 'set MEZZO_HOME to a folder that you may write to',
  });
});

test('two installers at once: one installs, the other waits and takes the result', async (t) => {
  const { options, entries } = shop(t);
  const phases: string[][] = [[], []];
  const [first, second] = await Promise.all(
    phases.map((seen) => installLibTorch({ ...options, onProgress: ({ phase }) => seen.push(phase) })),
  );
  assert.equal(first?.path, second?.path);
  assert.deepEqual(phases.map((seen) => seen.includes('unpack') || seen.includes('download')).sort(), [
    false,
    true,
  ]);
  assert.deepEqual(phases.map((seen) => seen.includes('waiting')).sort(), [false, true]);
  assert.deepEqual(entries(), ['2.15.0-cpu']);
});

test('what a killed installer left is cleared away', async (t) => {
  const { home, options, entries } = shop(t);
  const { pid } = spawnSync('true');
  mkdirSync(path.join(home, 'libtorch/.draft-old/site'), { recursive: true });
  writeFileSync(path.join(home, 'libtorch/lock'), JSON.stringify({ pid, host: hostname(), token: 'dead' }));
  await installLibTorch(options);
  assert.deepEqual(entries(), ['2.15.0-cpu']);
});

test('an installation that is stopped leaves nothing', async (t) => {
  const { options, entries } = shop(t);
  const controller = new AbortController();
  const running = installLibTorch({
    ...options,
    signal: controller.signal,
    onProgress: () => controller.abort(),
  });
  await assert.rejects(running, {
    code: 'INTERRUPTED',
    message: 'the installation was stopped; nothing was installed',
  });
  assert.deepEqual(entries(), []);
});

test('a disk that fills up while pip works', () => {
  const output = 'ERROR: Could not install packages due to an OSError: [Errno 28] No space left on device\n';
  const error = pipFailure(output, null, '/cache/mezzo/libtorch', readPins('2.15.0', 'cpu'));
  assert.equal(error.code, 'DISK_FULL');
  assert.equal(
    error.message,
    'No room for LibTorch 2.15.0 in /cache/mezzo/libtorch: it needs 1.8 GB while installing, the disk is full.',
  );
});

test('every committed set is pinned whole: name, version, hash and size', () => {
  for (const { version } of LINES) {
    const [cpu, cuda] = [readPins(version, 'cpu'), readPins(version, 'cuda')];
    for (const { file, packages, downloadBytes, unpackedBytes } of [cpu, cuda]) {
      const lines = readFileSync(file, 'utf8')
        .split('\n')
        .filter((line) => line !== '' && !line.startsWith('#'));
      assert.equal(packages.length, lines.length, file);
      for (const line of lines) assert.match(line, / --hash=sha256:[0-9a-f]{64} {2}# [1-9]\d+ bytes$/);
      assert.deepEqual(packages[0]?.name, 'torch');
      assert.equal(packages[0]?.version, version);
      assert.ok(unpackedBytes > downloadBytes);
    }
    const all = cuda.packages.map(({ name }) => name);
    assert.ok(cpu.packages.every(({ name }) => all.includes(name)));
    assert.equal(cpu.packages.length, 3);
  }
  assert.throws(() => readPins('2.9.0', 'cpu'), {
    code: 'NO_SUCH_SET',
    message: 'there is no pinned set 2.9.0-cpu; there are 2.15.0-cpu, 2.15.0-cuda, 2.10.0-cpu, 2.10.0-cuda',
  });
  assert.ok(existsSync(readPins('2.15.0', 'cpu').file));
});
