import { compareGradients, type GradientComparison, type LayerGradient } from './compare-gradients.ts';
import { type Finding, finding } from './finding.ts';
import { exceeds, LIMITS } from './limits.ts';
import type { PassRecord } from './run-pass.ts';
import type { Difference, PreflightSubject } from './subject.ts';

/** How far a pass is from the float32 one. */
export interface Comparison {
  readonly lossGap: number;
  readonly gradients: GradientComparison;
  readonly differences: Readonly<Record<string, Difference>>;
}

export function comparePasses<D>(
  subject: PreflightSubject<D>,
  reference: PassRecord<D>,
  other: PassRecord<D>,
): Comparison {
  const gap = Math.abs(other.loss - reference.loss);
  return {
    lossGap: gap === 0 ? 0 : gap / Math.abs(reference.loss),
    gradients: compareGradients(reference.gradients, other.gradients),
    differences: subject.compare?.(reference.detail, other.detail) ?? {},
  };
}

/** Layers whose gradient carries weight in the whole. */
export const weighty = (layers: readonly LayerGradient[]): LayerGradient[] =>
  layers.filter(({ share }) => share >= LIMITS.layerShare);

/** What a pass that is not finite says. */
export function judgeFinite(low: string, pass: PassRecord<unknown>): Finding[] {
  if (!Number.isFinite(pass.loss)) {
    return [
      finding('LOSS_NOT_FINITE', `the loss is ${pass.loss} in ${low}, and finite in float32`, {
        evidence: { loss: String(pass.loss) },
      }),
    ];
  }
  if (pass.overflowed.length === 0) return [];
  const { scale } = pass.settings;
  const at = scale === 1 ? '' : ` at a loss scale of ${scale}`;
  return [
    finding('GRADIENT_NOT_FINITE', `gradients in ${low} are not finite${at}: ${listed(pass.overflowed)}`, {
      evidence: { parameters: pass.overflowed, scale },
    }),
  ];
}

/** What rounding alone does; each is null where that leaves the range, and is measured when it is asked for. */
export interface RoundingPrice {
  /** Rounding to nearest, as kernels do. */
  readonly once: Comparison | null;
  /** The most that several ways of rounding did: how much one of them says of another. */
  readonly most: Comparison | null;
  /** Rounding the weights alone, in float32, turns the gradient into another: the batch has no direction to lose. */
  readonly unstable: boolean;
}

/** Whether rounding leaves nothing of the gradient's direction. */
export const losesDirection = (control: Comparison | null): boolean =>
  control !== null && 1 - control.gradients.cosine > LIMITS.controlAngle;

/**
 * What a finite pass in low precision says, measured against what rounding alone does. One way of rounding is chance
 * in a network that amplifies it, so that what stands out against it is measured against several.
 */
export function judgeComparison(low: string, found: Comparison, price: RoundingPrice): Finding[] {
  const suspicions = judgeAgainst(low, found, price.once, price);
  return suspicions.length === 0 || price.once === null
    ? suspicions
    : judgeAgainst(low, found, price.most, price);
}

function judgeAgainst(
  low: string,
  found: Comparison,
  control: Comparison | null,
  price: RoundingPrice,
): Finding[] {
  const gradients = control?.gradients ?? null;
  return [
    ...judgeLoss(low, found, control),
    ...(losesDirection(price.once)
      ? judgeFormat(low, found, price)
      : [
          ...judgeDirection(low, found.gradients, gradients),
          ...judgeLayers(low, found.gradients, gradients),
        ]),
    ...judgeVanished(low, found.gradients),
    ...judgeDifferences(low, found, control),
  ];
}

function judgeFormat(low: string, found: Comparison, { once, unstable }: RoundingPrice): Finding[] {
  if (unstable) return [];
  const rounding = once!.gradients.cosine;
  return [
    finding(
      'FORMAT_TOO_COARSE',
      `rounding to ${low} alone turns the gradient into another: cosine ${rounding.toFixed(2)}`,
      { evidence: { cosine: found.gradients.cosine, rounding } },
    ),
  ];
}

function judgeLoss(low: string, found: Comparison, control: Comparison | null): Finding[] {
  const alone = control?.lossGap ?? null;
  if (!exceeds(found.lossGap, alone, LIMITS.lossGap)) return [];
  return [
    finding(
      'LOSS_GAP',
      `the loss in ${low} is ${percent(found.lossGap)} from float32's${priceOfRounding(alone, percent)}`,
      { evidence: { lossGap: found.lossGap, rounding: alone } },
    ),
  ];
}

function judgeDirection(
  low: string,
  found: GradientComparison,
  control: GradientComparison | null,
): Finding[] {
  const evidence = { cosine: found.cosine, rounding: control?.cosine ?? null };
  const angle = 1 - found.cosine;
  if (!exceeds(angle, control === null ? null : 1 - control.cosine, LIMITS.gradientAngle)) return [];
  const worst = [...weighty(found.layers)].sort((a, b) => a.cosine - b.cosine).slice(0, 3);
  return [
    finding(
      'GRADIENT_DIRECTION',
      `the gradient in ${low} has cosine ${found.cosine.toFixed(2)} with float32's` +
        `${priceOfRounding(control?.cosine ?? null, (cosine) => cosine.toFixed(2))}; ` +
        `furthest off: ${listed(worst.map(({ layer }) => layer))}`,
      { evidence: { ...evidence, layers: worst } },
    ),
  ];
}

function judgeLayers(low: string, found: GradientComparison, control: GradientComparison | null): Finding[] {
  const alone = new Map(control?.layers.map(({ layer, cosine }) => [layer, cosine]));
  const turned = weighty(found.layers).filter(({ layer, cosine, zeroed }) => {
    const rounding = alone.get(layer);
    const price = rounding === undefined || Number.isNaN(rounding) ? null : 1 - rounding;
    return zeroed <= LIMITS.vanished && exceeds(1 - cosine, price, LIMITS.layerAngle);
  });
  if (turned.length === 0) return [];
  const names = turned.map(({ layer, cosine }) => `${layer} (cosine ${cosine.toFixed(2)})`);
  return [
    finding(
      'GRADIENT_DIRECTION',
      `gradients in ${low} point elsewhere than in float32, far more than rounding explains: ${listed(names)}`,
      { evidence: { layers: turned.map((each) => ({ ...each, rounding: alone.get(each.layer) ?? null })) } },
    ),
  ];
}

function judgeVanished(low: string, found: GradientComparison): Finding[] {
  const lost = weighty(found.layers).filter(({ zeroed }) => zeroed > LIMITS.vanished);
  if (lost.length === 0) return [];
  const names = lost.map(({ layer }) => layer);
  return [
    finding('GRADIENT_VANISHES', `most of the gradient in ${low} is zero: ${listed(names)}`, {
      evidence: { layers: lost },
    }),
  ];
}

function judgeDifferences(low: string, found: Comparison, control: Comparison | null): Finding[] {
  return Object.entries(found.differences).flatMap(([name, { value, floor, text }]) => {
    const alone = control?.differences[name]?.value ?? null;
    if (!exceeds(value, alone, { floor, timesControl: LIMITS.lossGap.timesControl })) return [];
    return [
      finding('OUTPUT_DIFFERS', `${text} in ${low}${priceOfRounding(alone, (each) => each.toPrecision(2))}`, {
        evidence: { name, value, rounding: alone, floor },
      }),
    ];
  });
}

const priceOfRounding = (value: number | null, format: (value: number) => string) =>
  value === null ? '' : `, where rounding alone gives ${format(value)}`;

const percent = (value: number) => `${(100 * value).toPrecision(2)} %`;

const MOST = 4;

/** The first names, and how many more there are. */
export function listed(names: readonly string[]): string {
  const shown = names.slice(0, MOST).join(', ');
  return names.length > MOST ? `${shown} and ${names.length - MOST} more` : shown;
}
