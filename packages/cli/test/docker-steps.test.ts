/** docker/run-steps.mjs: a Dockerfile's steps, without an engine. */
import assert from 'node:assert/strict';
import {
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { after, test } from 'node:test';
import { type Outcome, ROOT, run } from './mezzo.ts';

const root = mkdtempSync(join(tmpdir(), 'mezzo-docker-'));
after(() => rmSync(root, { recursive: true }));
let count = 0;

/** Files of a project with a Dockerfile, and the empty folder that its steps run in. */
function project(dockerfile: readonly string[], files: Readonly<Record<string, string>> = {}) {
  const folder = join(root, `project${count++}`);
  for (const [name, text] of Object.entries({ Dockerfile: dockerfile.join('\n'), ...files })) {
    mkdirSync(dirname(join(folder, name)), { recursive: true });
    writeFileSync(join(folder, name), text);
  }
  const out = `${folder}-out`;
  const steps = (words: readonly string[] = [], env: NodeJS.ProcessEnv = {}): Promise<Outcome> =>
    run(
      process.execPath,
      [join(ROOT, 'docker', 'run-steps.mjs'), out, `--file=${join(folder, 'Dockerfile')}`, ...words],
      env,
    );
  return { folder, out, steps };
}

const FROM = `FROM node:${process.versions.node.split('.')[0]}-bookworm-slim`;
const WHOLE = [
  '# A comment.',
  FROM,
  'ARG KIND=plain',
  'ENV MEZZO_HOME=/mezzo/home \\',
  '    GREETING="good day"',
  'WORKDIR /mezzo/app',
  'COPY one.txt two.txt ./',
  'COPY tree tree',
  'RUN echo "$KIND, $GREETING, $SECRET, $HOME" > /mezzo/app/made.txt && \\',
  '    test -d "$(dirname /mezzo/app/made.txt)"',
  'WORKDIR /mezzo/data',
  'ENTRYPOINT ["/bin/sh", "-c"]',
  'CMD ["echo run in $PWD with $MEZZO_HOME"]',
];
const FILES = {
  'one.txt': '1',
  'two.txt': '2',
  'tree/kept/a.txt': 'a',
  'tree/dist/b.txt': 'b',
  'tree/x/dist.txt': 'x',
  '.dockerignore': '**/dist\n.git\n',
};

test('the steps run in the folder with nothing of this environment, and then the program', async () => {
  const { out, steps } = project(WHOLE, FILES);
  const { code, stdout, stderr } = await steps([], { SECRET: 'leaked' });
  assert.equal(code, 0, stderr);
  const app = join(out, 'mezzo', 'app');
  assert.equal(readFileSync(join(app, 'made.txt'), 'utf8'), `plain, good day, , ${out}/root\n`);
  assert.deepEqual(readdirSync(app, { recursive: true }).sort(), [
    'made.txt',
    'one.txt',
    'tree',
    'tree/kept',
    'tree/kept/a.txt',
    'tree/x',
    'tree/x/dist.txt',
    'two.txt',
  ]);
  assert.equal(stdout, `run in ${out}/mezzo/data with ${out}/mezzo/home\n`);
  assert.match(stderr, /^\[7\/10\] RUN echo /m);
});

test('a build argument, a home that is there, a variable let through, other words', async () => {
  const { out, steps } = project(WHOLE, FILES);
  const words = ['KIND=other', '--home=/usr', '--keep=SECRET', '--', 'echo $MEZZO_HOME'];
  const { code, stdout, stderr } = await steps(words, { SECRET: 'let through' });
  assert.deepEqual([code, stdout], [0, '/usr\n'], stderr);
  assert.equal(
    readFileSync(join(out, 'mezzo', 'app', 'made.txt'), 'utf8'),
    `other, good day, let through, ${out}/root\n`,
  );
});

test('what fails or is not known is told, before anything is made where that is possible', async () => {
  const refusals: [dockerfile: string[], words: string[], message: string][] = [
    [[FROM, 'VOLUME /data'], [], 'VOLUME is not known here'],
    [[FROM, FROM], [], 'a Dockerfile of one FROM is known here'],
    [[FROM, 'RUN --network=none true'], [], 'RUN --network=none is not known here'],
    [[FROM, 'COPY --chmod=755 a b'], [], 'COPY --chmod=755 is not known here'],
    [['FROM node:8-slim'], [], `FROM node:8-slim: this is Node ${process.versions.node}`],
    [['FROM debian:12'], [], 'only images of Node are known here, and this is debian:12'],
    [[FROM, 'RUN exit 3'], [], '/bin/sh -c exit 3 ended with code 3'],
    [
      [FROM, 'RUN apt-get install -y no-such-package'],
      [],
      'these packages are not installed: no-such-package',
    ],
    [[FROM, 'CMD ["/bin/true"]'], ['KIND=x'], 'the Dockerfile has no argument KIND'],
    [[FROM], [], 'there is neither ENTRYPOINT nor CMD'],
    [[FROM], ['--hmoe=x'], "what is '--hmoe=x'?"],
  ];
  for (const [dockerfile, words, message] of refusals) {
    const { code, stderr } = await project(dockerfile).steps(words);
    assert.equal(code, 1, message);
    assert.ok(stderr.endsWith(`error: ${message}\n`), stderr);
  }
  const { out, steps } = project([FROM, 'CMD ["/bin/true"]']);
  mkdirSync(out);
  writeFileSync(join(out, 'file'), '');
  assert.equal((await steps()).stderr, `error: ${out} is not empty\n`);
});

test('the Dockerfile copies all that the launcher looks at, and nothing that is built', () => {
  const dockerfile = readFileSync(join(ROOT, 'Dockerfile'), 'utf8');
  const copied = [...dockerfile.matchAll(/^COPY (.*) \S+$/gm)].flatMap(([, names]) => names!.split(' '));
  assert.deepEqual(copied.sort(), [
    'examples',
    'mezzo',
    'package-lock.json',
    'package.json',
    'packages',
    'tsconfig.base.json',
    'tsconfig.json',
  ]);
  for (const name of copied) assert.ok(existsSync(join(ROOT, name)), name);
  const ignored = readFileSync(join(ROOT, '.dockerignore'), 'utf8').split('\n');
  for (const name of ['**/node_modules', '**/dist', '.cache', '.git'])
    assert.ok(ignored.includes(name), name);
});
