import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { test } from 'node:test';
import { COMMAND_LINE_OPTIONS, parseWords, resolveSettings, Spellings } from '@mezzo/detect/config';
import { parse } from 'yaml';
import { ROOT, run } from './mezzo.ts';

const read = (name: string) => readFileSync(`${ROOT}examples/distributed/${name}`, 'utf8');

/** The settings that words after `mezzo train` give. */
function settingsOf(words: readonly string[]) {
  const { operands, assignments } = parseWords(words, new Spellings(COMMAND_LINE_OPTIONS));
  assert.deepEqual(operands, []);
  return resolveSettings('train', Object.fromEntries(assignments.map(({ name, value }) => [name, value])));
}

interface Pod {
  spec: { containers: { name: string; image: string; args: string[]; volumeMounts: { name: string }[] }[] };
}
interface Replicas {
  replicas: number;
  restartPolicy: string;
  template: Pod & { spec: { volumes: { name: string }[] } };
}

test('the PyTorchJob: one master, workers of the same pod, options that exist, a batch for all ranks', () => {
  const job = parse(read('pytorchjob.yaml')) as {
    apiVersion: string;
    kind: string;
    spec: { pytorchReplicaSpecs: Record<'Master' | 'Worker', Replicas> };
  };
  assert.deepEqual([job.apiVersion, job.kind], ['kubeflow.org/v1', 'PyTorchJob']);
  const { Master, Worker } = job.spec.pytorchReplicaSpecs;
  assert.equal(Master.replicas, 1);
  assert.deepEqual(Worker.template, Master.template);
  const [container] = Master.template.spec.containers;
  // Others are left without RANK and WORLD_SIZE by the operator.
  assert.equal(container!.name, 'pytorch');
  assert.deepEqual(
    container!.volumeMounts.map(({ name }) => name),
    Master.template.spec.volumes.map(({ name }) => name),
  );
  const [command, ...words] = container!.args;
  assert.equal(command, 'train');
  const { batch, device, resume } = settingsOf(words);
  assert.equal(batch % (Master.replicas + Worker.replicas), 0);
  assert.deepEqual([device, resume], ['cpu', 'auto']);
});

for (const name of ['torchrun.sh', 'slurm.sbatch']) {
  test(`${name}: a script that bash reads, with options that exist`, async () => {
    assert.equal((await run('bash', ['-n', `${ROOT}examples/distributed/${name}`])).code, 0);
    const words = /mezzo" train (.*) "\$@"/.exec(read(name))![1]!.split(' ');
    assert.deepEqual(
      Object.entries(settingsOf(words)).filter(([key]) => key === 'device' || key === 'resume'),
      [
        ['device', 'cpu'],
        ['resume', 'auto'],
      ],
    );
  });
}
