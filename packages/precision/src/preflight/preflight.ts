import { native } from '@mezzo/libtorch';
import { cuda, MezzoError, scope, TorchError } from '@mezzo/torch';
import { type PrecisionPlan, uniformPlan, withRules } from '../islands/index.ts';
import { findChannelMismatch } from './channels.ts';
import { type ConvolutionSignature, checkConvolutions } from './convolutions.ts';
import { searchCure } from './cure.ts';
import { type Examination, examine, runLowPass } from './examine.ts';
import { type Finding, finding } from './finding.ts';
import { isOutOfMemory, largestFit, withinMemory } from './fit-batch.ts';
import { type Comparison, losesDirection, weighty } from './judge.ts';
import { firstScale } from './loss-scale.ts';
import { PriceOfRounding } from './price-of-rounding.ts';
import { makeReport, type PreflightNumbers, type PreflightReport, reportOf, UNKNOWN } from './report.ts';
import { LossShapeError, type PassRecord, runPass } from './run-pass.ts';
import { smokeTest } from './smoke-test.ts';
import { deviceType, type PreflightSubject } from './subject.ts';
import { judgeSubstance } from './substance.ts';
import { tellCure } from './tell.ts';

/**
 * Tries on one batch whether a model may be trained in low precision on this machine: forward, loss and backward in
 * float32 and in low precision, every distinct convolution by itself, and the operations that are at risk there.
 * Where something is wrong it searches for the float32 islands that cure it, and tries them.
 *
 * Differences are judged against a third pass, in float32 with values rounded between the layers: what that does is
 * the price of the format and no fault. The model is left as it was: weights, buffers, gradients, generators, to the
 * bit. HOST SYNC: many; this runs before training, not in it.
 */
export function preflight<D>(subject: PreflightSubject<D>): PreflightReport {
  const begun = performance.now();
  const { device, low } = subject;
  const blocked = missingHardware(device, low) ?? smokeTest(device, low);
  if (blocked !== null) return reportOf([blocked]);
  const { findings, plan, numbers } = scope(() => new Preflight(subject).run());
  return makeReport(findings, plan, { ...numbers, seconds: (performance.now() - begun) / 1000 });
}

function missingHardware(device: string, low: string): Finding | null {
  if (deviceType(device) === 'cpu') return null;
  const index = Number(device.split(':')[1] ?? 0);
  const count = native().cudaDeviceCount();
  if (index >= count) {
    const found =
      count === 0
        ? 'LibTorch sees no CUDA device'
        : `LibTorch sees ${count} CUDA device${count === 1 ? '' : 's'}`;
    return finding('NO_GPU', `${device}: ${found}`, { evidence: { device, devices: count } });
  }
  if (low === 'bfloat16' && !cuda.isBf16Supported()) {
    return finding('NO_LOW_PRECISION', `${native().cudaName(index)} does not compute in bfloat16`, {
      evidence: { device, dtype: low },
    });
  }
  return null;
}

type Outcome = Pick<PreflightReport, 'findings' | 'plan' | 'numbers'>;

/** One preflight under way. */
class Preflight<D> {
  private readonly subject: PreflightSubject<D>;
  private readonly findings: Finding[] = [];
  private numbers: Omit<PreflightNumbers, 'seconds'>;

  constructor(subject: PreflightSubject<D>) {
    this.subject = subject;
    this.numbers = { ...UNKNOWN, batch: subject.batch };
  }

  run(): Outcome {
    const { subject } = this;
    try {
      const reference = this.reference();
      if (reference === null) return this.end(null);
      this.numbers = {
        ...this.numbers,
        batch: reference.settings.batch,
        peakBytesFloat32: reference.peakBytes,
      };
      this.findings.push(...judgeSubstance(reference), ...this.nothingCompared(reference));
      if (this.failed()) return this.end(null);
      const scale = firstScale(subject.low, reference);
      const whole = this.wholeBatch(reference, scale);
      if (whole === null) return this.end(null);
      return this.compareWithinMemory(reference, scale, whole);
    } catch (error) {
      const found = isOutOfMemory(error) ? this.doesNotFit(this.largestLow(1)) : explain(error, this.subject);
      if (found === null) throw error;
      this.findings.push(found);
      return this.end(null);
    }
  }

  private failed(): boolean {
    return this.findings.some(({ severity }) => severity === 'error');
  }

  private end(plan: PrecisionPlan | null): Outcome {
    return { findings: this.findings, plan, numbers: { ...this.numbers, seconds: 0 } };
  }

  /** The float32 pass, at the whole batch or at the largest that fits; null when not one sample does. */
  private reference(): PassRecord<D> | null {
    const { subject } = this;
    const at = (batch: number) => runPass(subject, { batch, dtype: 'float32', scale: 1 });
    const whole = withinMemory(subject.device, () => at(subject.batch));
    if (whole !== null) return whole;
    const fit = largestFit(subject.batch, subject.device, at);
    if (fit === null) {
      this.findings.push(this.doesNotFit(0));
      return null;
    }
    this.comparedAt(fit.batch);
    return fit.result;
  }

  private comparedAt(batch: number): void {
    const { subject } = this;
    const already = this.findings.findIndex(({ code }) => code === 'REFERENCE_AT_SMALLER_BATCH');
    if (already >= 0) this.findings.splice(already, 1);
    this.findings.push(
      finding(
        'REFERENCE_AT_SMALLER_BATCH',
        `float32 does not fit at batch ${subject.batch}: compared at batch ${batch}`,
        { evidence: { batch: subject.batch, largest: batch } },
      ),
    );
  }

  /** The comparison takes a little more memory than the reference alone: where that lacks, half the batch is compared. */
  private compareWithinMemory(
    reference: PassRecord<D>,
    scale: number,
    whole: readonly ConvolutionSignature[],
  ): Outcome {
    const { subject } = this;
    let against = reference;
    for (;;) {
      const found = [...this.findings];
      const outcome = withinMemory(subject.device, () => this.compare(against, scale, whole));
      if (outcome !== null) return outcome;
      this.findings.splice(0, Number.POSITIVE_INFINITY, ...found);
      const batch = Math.floor(against.settings.batch / 2);
      if (batch === 0) throw new TorchError('OUT_OF_MEMORY', 'not even one sample can be compared');
      against = runPass(subject, { batch, dtype: 'float32', scale: 1 });
      this.numbers = { ...this.numbers, batch };
      this.comparedAt(batch);
    }
  }

  /**
   * Where float32 had to make do with less: whether the low-precision pass fits at the batch of the training. Gives
   * that batch's convolutions, an empty list when the comparison will see them anyway; null and a finding when not.
   */
  private wholeBatch(reference: PassRecord<D>, scale: number): readonly ConvolutionSignature[] | null {
    const { subject } = this;
    if (reference.settings.batch === subject.batch) return [];
    const found = withinMemory(subject.device, () => runLowPass(subject, null, subject.batch, scale));
    if (found !== null) return found.notes.convolutions;
    this.findings.push(this.doesNotFit(this.largestLow(scale)));
    return null;
  }

  private largestLow(scale: number): number {
    const { subject } = this;
    const at = (batch: number) => runPass(subject, { batch, dtype: subject.low, scale });
    return largestFit(subject.batch, subject.device, at)?.batch ?? 0;
  }

  private doesNotFit(largest: number): Finding {
    const { batch, low } = this.subject;
    const fits = largest === 0 ? 'not even one sample does' : `the largest that does is batch ${largest}`;
    const remedy =
      largest === 0
        ? 'lower imgsz, or take a smaller model'
        : `batch=${largest}, a smaller imgsz, or a smaller model`;
    return finding('BATCH_DOES_NOT_FIT', `batch ${batch} does not fit into memory in ${low}: ${fits}`, {
      remedy,
      evidence: { batch, largest },
    });
  }

  private nothingCompared(reference: PassRecord<D>): Finding[] {
    const { subject } = this;
    if (subject.compare === undefined) return [];
    if (Object.keys(subject.compare(reference.detail, reference.detail)).length > 0) return [];
    return [finding('NOTHING_ASSIGNED', 'the batch has no target that the model could learn')];
  }

  private compare(reference: PassRecord<D>, scale: number, whole: readonly ConvolutionSignature[]): Outcome {
    const { subject } = this;
    const { batch } = reference.settings;
    let price: PriceOfRounding<D> | undefined;
    const priceOf = (lowLayers: ReadonlySet<string>) => {
      price ??= new PriceOfRounding(subject, reference, lowLayers);
      return price;
    };
    const examinePlan = (plan: PrecisionPlan | null) =>
      examine(subject, reference, runLowPass(subject, plan, batch, scale), priceOf);
    const first = examinePlan(null);
    const signatures = whole.length > 0 ? whole : first.notes.convolutions;
    const convolutions = checkConvolutions(signatures, subject.device, subject.low);
    const without = planAround(convolutions.findings, signatures.length, subject.low);
    const start = without === null ? first : examinePlan(without);
    const cure = searchCure(subject, without, start, examinePlan);
    const cured = without !== null && cure.last.findings.length === 0;
    this.findings.push(
      ...convolutions.findings.map((each) => (cured ? { ...each, severity: 'island' as const } : each)),
      ...tellCure(start, cure, without),
    );
    const control = price?.once ?? null;
    if (losesDirection(control) && price!.unstable) this.findings.push(tellUnstable(subject.low));
    this.measured(cure.last, control);
    this.numbers = {
      ...this.numbers,
      convolutions: signatures.length,
      convolutionError: convolutions.findings.length === 0 ? convolutions.worst : null,
    };
    return this.end(cure.last.findings.length === 0 ? cure.plan : null);
  }

  private measured({ comparison, pass }: Examination<D>, control: Comparison | null): void {
    if (pass === null) return;
    this.numbers = { ...this.numbers, scale: pass.settings.scale, peakBytes: pass.peakBytes };
    if (comparison === null) return;
    const cosines = weighty(comparison.gradients.layers).map(({ cosine }) => cosine);
    const differences = valuesOf(comparison);
    this.numbers = {
      ...this.numbers,
      lossGap: comparison.lossGap,
      minGradCosine: cosines.length === 0 ? null : Math.min(...cosines),
      gradCosine: comparison.gradients.cosine,
      roundingGradCosine: control?.gradients.cosine ?? null,
      roundingLossGap: control?.lossGap ?? null,
      boxErrorPx: differences.boxErrorPx ?? null,
      differences,
      roundingDifferences: control === null ? {} : valuesOf(control),
    };
  }
}

/** Islands around convolutions that are wrong; null when none are, or so many that they are the model. */
function planAround(
  findings: readonly Finding[],
  convolutions: number,
  low: 'float16' | 'bfloat16',
): PrecisionPlan | null {
  const islands = findings.flatMap(({ island }) => (island === undefined ? [] : [island]));
  const some = islands.length > 0 && islands.length === findings.length;
  return some && 2 * islands.length <= convolutions ? withRules(uniformPlan(low), islands) : null;
}

const tellUnstable = (low: string): Finding =>
  finding(
    'DIRECTION_NOT_COMPARED',
    `the gradient of this batch turns with the last bits of the weights, in float32 too: in ${low} its size was checked, not its direction`,
  );

const valuesOf = ({ differences }: Comparison): Record<string, number> =>
  Object.fromEntries(Object.entries(differences).map(([name, { value }]) => [name, value]));

/** What an error of the model itself means; null for a defect of Mezzo or of the program around it. */
function explain<D>(error: unknown, subject: PreflightSubject<D>): Finding | null {
  if (error instanceof LossShapeError) return finding('LOSS_NOT_SCALAR', error.message);
  if (!(error instanceof MezzoError)) return null;
  const mismatch = findChannelMismatch(subject);
  if (mismatch !== null) return mismatch;
  return finding('MODEL_FAILS', `the model fails in float32: ${error.message}`, {
    ...(error.hint === undefined ? {} : { remedy: error.hint }),
    evidence: { code: error.code, error: error.message },
  });
}
