#!/usr/bin/env node
// Runs the steps of the Dockerfile in an empty folder with a clean environment, where no container engine is at hand:
//   node docker/run-steps.mjs FOLDER [NAME=value …] [--home=FOLDER] [--keep=NAME,…] [--file=Dockerfile] [-- WORD …]
// NAME=value is a build argument. --home takes the place of MEZZO_HOME: an installed LibTorch is not fetched again.
// --keep lets variables through, as an engine does with those of proxies. Words after -- take the place of CMD.
// Differences from an image: the base image is this machine, whose Node must be that of FROM; apt-get is not run, but
// its packages are looked for; a path /mezzo/… lies in FOLDER.
import { spawnSync } from 'node:child_process';
import { cpSync, existsSync, mkdirSync, readdirSync, readFileSync, statSync } from 'node:fs';
import { basename, dirname, join, relative, resolve } from 'node:path';
import { fileURLToPath } from 'node:url';

const PREFIX = '/mezzo';
const PATH = '/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin';
const PROXIES = ['HTTP_PROXY', 'HTTPS_PROXY', 'FTP_PROXY', 'NO_PROXY', 'ALL_PROXY'];

class Refused extends Error {}

/** The instructions of a Dockerfile, continued lines joined, comments left out. */
function parse(text) {
  const lines = text.split('\n').filter((line) => !/^\s*#/.test(line));
  return lines
    .join('\n')
    .replaceAll(/\\\n\s*/g, '')
    .split('\n')
    .map((line) => /^\s*(\w+)\s+(.*?)\s*$/.exec(line))
    .filter((found) => found !== null)
    .map(([, name, value]) => ({ name: name.toUpperCase(), value }));
}

/** What .dockerignore keeps out: names at any depth as `**` and a name, and paths from the root. */
function ignored(root) {
  const file = join(root, '.dockerignore');
  const patterns = existsSync(file) ? readFileSync(file, 'utf8').split('\n').filter((line) => /^[^#\s]/.test(line)) : [];
  const tests = patterns.map((pattern) => {
    if (pattern.startsWith('!')) throw new Refused(`.dockerignore: '${pattern}' is not known here`);
    const any = pattern.startsWith('**/');
    const body = (any ? pattern.slice(3) : pattern).replaceAll(/[.+^$()|[\]\\]/g, '\\$&').replaceAll('*', '[^/]*');
    return new RegExp(`${any ? '(^|/)' : '^'}${body}(/|$)`);
  });
  return (file) => tests.some((test) => test.test(relative(root, file)));
}

const list = (value) => {
  const words = JSON.parse(value);
  if (!Array.isArray(words)) throw new Refused(`expected a JSON list: ${value}`);
  return words;
};

/** Carries out instructions one by one; what it does not know it refuses. */
class Steps {
  constructor({ root, folder, args, home, keep }) {
    this.root = root;
    this.folder = folder;
    this.given = args;
    this.home = home;
    this.keepsOut = ignored(root);
    this.args = {};
    this.words = { ENTRYPOINT: [], CMD: [] };
    this.env = { PATH, HOME: join(folder, 'root') };
    for (const name of [...PROXIES, ...PROXIES.map((proxy) => proxy.toLowerCase()), ...keep]) {
      if (process.env[name] !== undefined) this.env[name] = process.env[name];
    }
    this.at = folder;
    mkdirSync(this.env.HOME, { recursive: true });
  }

  /** A path of the image, in the folder. */
  place(path) {
    return path.startsWith(`${PREFIX}/`) ? join(this.folder, path) : path;
  }

  expanded(value) {
    return value.replaceAll(/\$(?:\{(\w+)\}|(\w+))/g, (_, braced, plain) => {
      const name = braced ?? plain;
      return this.env[name] ?? this.args[name] ?? '';
    });
  }

  FROM(value) {
    const [, wanted] = /^node:(\d+)\b/.exec(value) ?? [];
    if (wanted === undefined) throw new Refused(`only images of Node are known here, and this is ${value}`);
    const own = process.versions.node.split('.')[0];
    if (own !== wanted) throw new Refused(`FROM ${value}: this is Node ${process.versions.node}`);
    return `this machine, with Node ${process.versions.node}`;
  }

  ARG(value) {
    const [, name, fallback = ''] = /^(\w+)(?:=(.*))?$/.exec(value);
    this.args[name] = this.given[name] ?? fallback;
    return `${name}=${this.args[name]}`;
  }

  ENV(value) {
    for (const [, name, text] of value.matchAll(/(\w+)=("[^"]*"|\S+)/g)) {
      this.env[name] = this.place(this.expanded(text.replaceAll('"', '')));
    }
    if (this.home !== null && this.env.MEZZO_HOME !== undefined) this.env.MEZZO_HOME = this.home;
  }

  WORKDIR(value) {
    this.at = resolve(this.at, this.place(this.expanded(value)));
    mkdirSync(this.at, { recursive: true });
    return this.at;
  }

  COPY(value) {
    const words = value.split(/\s+/);
    if (words[0].startsWith('--')) throw new Refused(`COPY ${words[0]} is not known here`);
    const to = words.pop();
    const target = resolve(this.at, this.place(to));
    const into = to.endsWith('/') || words.length > 1;
    for (const word of words) {
      const from = join(this.root, word);
      const whole = statSync(from).isDirectory();
      const place = whole || !into ? target : join(target, basename(from));
      mkdirSync(whole ? place : dirname(place), { recursive: true });
      cpSync(from, place, { recursive: true, filter: (file) => !this.keepsOut(file), preserveTimestamps: true });
    }
  }

  RUN(value) {
    if (value.startsWith('--')) throw new Refused(`RUN ${value.split(' ')[0]} is not known here`);
    if (value.startsWith('apt-get')) return this.lookFor(value);
    const command = value.replaceAll(new RegExp(`(?<![\\w.])${PREFIX}/`, 'g'), `${join(this.folder, PREFIX)}/`);
    this.spawn('/bin/sh', ['-c', command], { ...this.args, ...this.env });
  }

  /** The packages that apt-get would install, which are left to whoever owns this machine. */
  lookFor(value) {
    const names = (/apt-get install\s+(.*?)(?:\s*(?:&&|;|$))/.exec(value)?.[1] ?? '')
      .split(/\s+/)
      .filter((word) => word !== '' && !word.startsWith('-'));
    const missing = names.filter((name) => spawnSync('dpkg-query', ['-W', name]).status !== 0);
    if (missing.length > 0) throw new Refused(`these packages are not installed: ${missing.join(' ')}`);
    return `not run; installed here: ${names.join(' ')}`;
  }

  ENTRYPOINT(value) {
    this.words.ENTRYPOINT = list(value).map((word) => this.place(word));
  }

  CMD(value) {
    this.words.CMD = list(value);
  }

  spawn(program, words, env) {
    const { status, signal, error } = spawnSync(program, words, { cwd: this.at, env, stdio: 'inherit' });
    if (error) throw new Refused(`${program}: ${error.message}`);
    if (status !== 0) throw new Refused(`${[program, ...words].join(' ')} ended with ${signal ?? `code ${status}`}`);
  }

  /** What `docker run` does. */
  start(words) {
    const [program, ...rest] = [...this.words.ENTRYPOINT, ...(words ?? this.words.CMD)];
    if (program === undefined) throw new Refused('there is neither ENTRYPOINT nor CMD');
    say(`$ ${[program, ...rest].join(' ')}`);
    this.spawn(program, rest, this.env);
  }
}

const KNOWN = ['FROM', 'ARG', 'ENV', 'WORKDIR', 'COPY', 'RUN', 'ENTRYPOINT', 'CMD'];

function say(text) {
  process.stderr.write(`${text}\n`);
}

function options(words) {
  const end = words.includes('--') ? words.indexOf('--') : words.length;
  const found = { folder: null, args: {}, home: null, keep: [], file: null, words: null };
  for (const word of words.slice(0, end)) {
    const [, name, value] = /^(--\w+|\w+)=(.*)$/.exec(word) ?? [];
    if (name === '--home') found.home = resolve(value);
    else if (name === '--keep') found.keep = value.split(',');
    else if (name === '--file') found.file = resolve(value);
    else if (name !== undefined && !name.startsWith('-')) found.args[name] = value;
    else if (found.folder === null && !word.startsWith('-')) found.folder = resolve(word);
    else throw new Refused(`what is '${word}'?`);
  }
  if (end < words.length) found.words = words.slice(end + 1);
  if (found.folder === null) throw new Refused('name an empty folder');
  return found;
}

function main() {
  const { file, words, ...given } = options(process.argv.slice(2));
  const dockerfile = file ?? join(dirname(dirname(fileURLToPath(import.meta.url))), 'Dockerfile');
  if (existsSync(given.folder) && readdirSync(given.folder).length > 0)
    throw new Refused(`${given.folder} is not empty`);
  const instructions = parse(readFileSync(dockerfile, 'utf8'));
  const unknown = instructions.find(({ name }) => !KNOWN.includes(name));
  if (unknown) throw new Refused(`${unknown.name} is not known here`);
  if (instructions.filter(({ name }) => name === 'FROM').length !== 1)
    throw new Refused('a Dockerfile of one FROM is known here');
  const steps = new Steps({ ...given, root: dirname(dockerfile) });
  for (const [i, { name, value }] of instructions.entries()) {
    say(`[${i + 1}/${instructions.length}] ${name} ${value}`);
    const note = steps[name](value);
    if (note) say(`  ${note}`);
  }
  const wrong = Object.keys(given.args).filter((name) => !(name in steps.args));
  if (wrong.length > 0) throw new Refused(`the Dockerfile has no argument ${wrong.join(', ')}`);
  steps.start(words);
}

try {
  main();
} catch (error) {
  if (!(error instanceof Refused)) throw error;
  say(`error: ${error.message}`);
  process.exitCode = 1;
}
