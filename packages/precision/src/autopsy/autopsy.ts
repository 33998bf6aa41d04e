import { type DType, type nn, Tensor } from '@mezzo/torch';
import type { PlanLookup } from '../observe/index.ts';
import { type Patient, tryCures, tryFixedData } from './cures.ts';
import { firstReader, observedFault } from './fault.ts';
import { adviceFor, chooseCure, findingOf, lastAdvice } from './finding.ts';
import { Replayer, type ReplayRegion, type ReplaySettings } from './replay.ts';
import type { AutopsyReport, CureReport, InputReport } from './report.ts';
import type { RandomStates } from './restore.ts';
import { sentence } from './sentences.ts';
import { badInputs, badState, grownWeights, type NamedInput } from './suspects.ts';

export interface AutopsyOptions {
  readonly model: nn.Module;
  /**
   * Forward and loss of the batch, without backward; called once a replay. `region` is for `autocast`: the cures
   * change it. `(region) => autocast(region, () => criterion(model.forward(x), y))`.
   */
  readonly run: (region: ReplayRegion) => Tensor;
  /** What training runs in; dtype float32 is without autocast. */
  readonly precision: { readonly device: string; readonly dtype: DType };
  /** The loss scale under which it failed. A scaler has lowered it since. Default 1. */
  readonly scale?: number;
  /** The tensors of the batch by name, to be searched for infinities and NaN. */
  readonly inputs?: Readonly<Record<string, Tensor | NamedInput>>;
  readonly learningRate?: number;
  /** The precision plan that the model runs under, so that its rules are named. */
  readonly plan?: PlanLookup;
  /** States of the generators before the batch, where the model draws random numbers. Default: the current ones. */
  readonly random?: RandomStates;
}

/**
 * Replays a batch that gave a non-finite loss or gradient, finds the first operation at which finite numbers
 * became infinite or undefined, and tries cures on the same batch. Weights, optimizer, buffers, gradients, inputs
 * and generators are afterwards as they were, to the bit. Takes up to some twenty replays.
 * @throws TorchError BAD_ARGUMENT when `run` does not return one number; what `run` throws in the first replay
 */
export function autopsy(options: AutopsyOptions): AutopsyReport {
  const began = performance.now();
  const { model, precision, learningRate } = options;
  const settings = settingsOf(options);
  const named = namedInputs(options.inputs ?? {});
  const tensors = Object.values(named).map(({ tensor }) => tensor);
  const replayer = new Replayer({ model, run: options.run, inputs: tensors, random: options.random });

  const inputs = badInputs(named);
  const state = badState(model, precision.dtype);
  const given = inputs.length > 0 || state.some(({ largest }) => largest === null);
  const { outcome, result: fault } = replayer.replay(settings, (batch) =>
    given ? firstReader(model, batch) : observedFault(model, batch, { plan: options.plan }),
  );
  const { finite, lossFinite, gradients, buffers } = outcome;
  const patient: Patient = { model, settings, replayer, fault, outcome };
  const tried = finite ? [] : given ? tryData(patient, inputs, named) : tryCures(patient);

  const weights = finite ? { grown: 0, of: 0 } : grownWeights(model);
  const finding = findingOf({ finite, fault, inputs, state, weights, cures: tried });
  const advice = adviceFor(finding, learningRate);
  const found = chooseCure(advice, tried);
  const cures: CureReport[] = found === null ? [...tried, lastAdvice()] : [...advice, ...tried];
  const replay = { lossFinite, gradients, buffers };
  const facts = {
    precision: { ...precision, scale: settings.scale },
    replay,
    fault: finite ? null : fault,
    inputs,
    state,
  };
  return {
    version: 1,
    finding,
    text: sentence(finding, { ...facts, weights }),
    ...facts,
    cure: found ?? cures.at(-1)!,
    cures,
    replays: replayer.count,
    seconds: (performance.now() - began) / 1000,
  };
}

/** Where what came in was bad already, a change to the arithmetic cures nothing. */
function tryData(
  patient: Patient,
  inputs: readonly InputReport[],
  named: Readonly<Record<string, NamedInput>>,
): CureReport[] {
  const bad = inputs.map(({ name }) => name);
  const tensors = bad.map((name) => named[name]!.tensor);
  return bad.length === 0 ? [] : [tryFixedData(patient, bad, tensors)];
}

function settingsOf({ precision: { device, dtype }, scale = 1 }: AutopsyOptions): ReplaySettings {
  const type = device.startsWith('cuda') ? 'cuda' : 'cpu';
  return { region: { device: type, dtype, enabled: dtype !== 'float32' }, scale };
}

const namedInputs = (inputs: NonNullable<AutopsyOptions['inputs']>): Record<string, NamedInput> =>
  Object.fromEntries(
    Object.entries(inputs).map(([name, input]) => [
      name,
      input instanceof Tensor ? { tensor: input } : input,
    ]),
  );
