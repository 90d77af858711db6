/**
 * Predicts bytes, speed and drop of untried candidates from tried ones. Speed factors multiply and drops add up. Shares of bytes multiply, except for
 * the fixed part of a format that no structural change reduces: nodes, names and scales.
 *
 *     bytes = (fixed + left(structure) · (left(format) − fixed)) · original        drop = drop(structure, recovery) + drop(format)
 *
 * `left` is the share of bytes that remains. The drop of a structural change with the share l is proportional to 1/l − 1. Its factor comes from the
 * nearest measured member of the same family, preferably with the same recovery. `exponentOfSpeed` predicts the speed.
 */

import type { Figures } from "../judge/run/objective.ts";
import type { Combination, Offer, SparingOffer } from "./combinations.ts";

export interface Tried {
  readonly combination: Combination;
  /** Metric values; undefined if the candidate was rejected for another reason than its drop. */
  readonly figures: Figures | undefined;
  /** Name of an earlier candidate with the same file. */
  readonly sameAs?: string | undefined;
  readonly isUnchanged?: boolean;
}

/**
 * Prior drops in units of the goal's maximum drop. They are for a structural change to half of the bytes without recovery, for a format, and for a
 * low-bit format before training.
 */
const [priorStructureDrop, priorFormatDrop, priorUntrainedDrop] = [10, 0.3, 3];
/** Bits per weight: in float, and the limits of integers and palettes. */
const [floatBits, maxBits, minBits] = [32, 8, 2];
/** A structural change that leaves a larger share of the bytes counts as no change. */
const maxChangedShare = 0.99;
/** Limits of the estimates: maximum share of a format's bytes that is fixed, and minimum share of the bytes that a structural change leaves. */
const [maxFixed, minShare] = [0.9, 0.01];
/** Share of a format's estimated fixed bytes that is assumed at least, to decide whether a target size is out of reach. */
const minFixedPart = 0.5;
/** Drops below this multiple of the goal's maximum drop count as noise. */
const minDrop = 0.1;

export class Forecast {
  readonly #original: Figures;
  readonly #goalDrop: number;
  readonly #tried: Tried[] = [];
  readonly #figures = new Map<string, Figures | undefined>();

  constructor(original: Figures, goalDrop: number) {
    this.#original = original;
    this.#goalDrop = goalDrop;
  }

  add(tried: Tried): void {
    this.#figures.set(tried.combination.name, tried.figures);
    // A drop with the precision fallback does not show what the format alone loses, so it predicts nothing.
    if (tried.combination.sparing === undefined) this.#tried.push(tried);
  }

  /**
   * Returns undefined if the candidate should not be tried now: a part failed earlier, the target size is out of reach, or a result that the
   * candidate builds on is missing or already meets the goal.
   */
  predict({ structure, healing, numbers, training, sparing }: Combination): Figures | undefined {
    if (sparing !== undefined) return this.#predictFallback(sparing);
    const cut = structure && this.#predictStructure(structure, healing);
    const format = numbers && this.#predictFormat(numbers, training, cut === "refused" ? undefined : cut);
    if (format === "refused" || cut === "refused") return undefined;
    const parts = [format, cut].filter((part) => part !== undefined);
    const { left: formatShare, fixed } = format ?? { left: 1, fixed: 0 };
    const remainingShare = fixed + (cut?.left ?? 1) * (formatShare - fixed);
    const speedAfterCut = numbers && structure && this.#speedupAfterStructure(numbers);
    const { size, speed = 1 } = this.#original;
    return {
      size: Math.min(size * remainingShare, numbers?.bytes ?? Number.POSITIVE_INFINITY),
      speed: speed * (cut?.speed ?? 1) * (speedAfterCut ?? format?.speed ?? 1),
      drop: parts.reduce((sum, part) => sum + Math.max(0, part.drop), 0),
    };
  }

  /**
   * Predicts a result with the precision fallback. If the drop d misses the goal g, the fallback must remove the share r = 1 − g / d of the error.
   * Few layers cause most of the error, so r² of the bytes are assumed to double.
   */
  #predictFallback({ plainName }: SparingOffer): Figures | undefined {
    const plain = this.#figures.get(plainName);
    if (plain === undefined || plain.drop <= this.#goalDrop) return undefined;
    const growth = 1 + (1 - this.#goalDrop / plain.drop) ** 2;
    return { size: plain.size * growth, speed: plain.speed, drop: this.#goalDrop };
  }

  #predictFormat(numbers: Offer, training: Offer | undefined, cut: Pick<Part, "left"> | undefined): Format | "refused" {
    if (numbers.bytes !== undefined) return this.#predictFitted(numbers, numbers.bytes, training, cut?.left ?? 1);
    return this.#predictAlone(numbers, training, cut === undefined);
  }

  /**
   * Predicts a format whose bits follow from a target size: as many bits per weight as fit after the structural change. One bit less has four times
   * the noise power and about four times the drop. If a size was out of reach with a share l of the bytes, only structural changes that leave at most
   * 0.75 l are predicted to reach it.
   */
  #predictFitted(
    numbers: Offer,
    bytes: number,
    training: Offer | undefined,
    structureShare: number,
  ): Format | "refused" {
    const targetShare = bytes / this.#original.size;
    const { fixed = 0 } = numbers;
    const missed = this.#tried.flatMap(
      ({ combination: { structure, healing, numbers: otherNumbers, training }, figures }) => {
        const isRounded =
          otherNumbers?.name === numbers.name && [...healing, training].every((step) => step?.trains !== true);
        return isRounded && figures === undefined ? [structure?.left ?? 1] : [];
      },
    );
    const maxShare = Math.min(
      (floatBits * (targetShare - minFixedPart * fixed)) / minBits,
      ...missed.map(requireMuchLess),
    );
    if (structureShare > maxShare) return "refused";
    const bitsOf = (share: number): number =>
      Math.min(maxBits, Math.max(minBits, (floatBits * (targetShare - fixed)) / share));
    const bits = bitsOf(structureShare);
    const [formatAlone] = this.#tried.filter(
      ({ combination: { structure, numbers: otherNumbers, training } }) =>
        structure === undefined && otherNumbers?.name === numbers.name && training === undefined,
    );
    const measured =
      formatAlone?.figures === undefined
        ? { bits: 4, drop: priorFormatDrop * this.#goalDrop }
        : { bits: bitsOf(1), drop: Math.max(formatAlone.figures.drop, minDrop * this.#goalDrop) };
    const remains = remainingDropShare(training === undefined ? [] : [training]);
    return {
      left: fixed + bits / floatBits,
      fixed,
      speed: 1,
      drop: measured.drop * 4 ** (measured.bits - bits) * remains,
    };
  }

  /** Predicts a format without a structural change. A trained format is combined with structural changes only after it was tried alone. */
  #predictAlone(numbers: Offer, training: Offer | undefined, isAlone: boolean): Format | "refused" {
    const tried = this.#tried.filter(
      ({ combination: { structure, numbers: otherNumbers } }) =>
        structure === undefined && otherNumbers?.name === numbers.name,
    );
    const [sameTraining] = tried.filter(({ combination }) => combination.training?.name === training?.name);
    if (sameTraining !== undefined)
      return sameTraining.figures === undefined ? "refused" : this.#formatOf(numbers, sameTraining.figures);
    const excess = this.#excess(numbers);
    const familyPrediction = training === undefined ? this.#predictByFamily(numbers) : undefined;
    if (familyPrediction !== undefined) return familyPrediction;
    const [expectedShare, fixed] = [(numbers.left ?? 1) * excess, (numbers.fixed ?? 0) * excess];
    const remains = remainingDropShare(training === undefined ? [] : [training]);
    const prior = priorFormatDrop * (numbers.loses ?? 1);
    if (training === undefined) return { left: expectedShare, fixed, speed: 1, drop: prior * this.#goalDrop };
    for (const { combination, figures } of tried) {
      if (combination.training === undefined || figures === undefined) continue;
      const part = this.#formatOf(numbers, figures);
      return { ...part, drop: (part.drop * remains) / remainingDropShare([combination.training]) };
    }
    return isAlone
      ? { left: expectedShare, fixed, speed: 1, drop: priorUntrainedDrop * this.#goalDrop * remains }
      : "refused";
  }

  /**
   * Predicts a format from measured formats of its family. The bytes are those of the nearest, in proportion to the expected shares. The drop is
   * interpolated logarithmically between two measured formats, or scaled from one in proportion to the expected losses.
   */
  #predictByFamily({ family, loses = 1, left = 1, fixed = 0 }: Offer): Format | undefined {
    const measured = this.#tried.flatMap(({ combination: { structure, numbers, training }, figures }) =>
      (structure ?? training) !== undefined || numbers?.family !== family || figures === undefined
        ? []
        : [{ ...numbers, depth: Math.log((numbers.loses ?? 1) / loses), figures }],
    );
    const sorted = measured.toSorted((a, b) => Math.abs(a.depth) - Math.abs(b.depth));
    const [nearest] = sorted;
    if (nearest === undefined) return undefined;
    const other = sorted.find(({ depth }) => depth * nearest.depth < 0);
    const logOf = ({ figures: { drop } }: (typeof sorted)[number]): number =>
      Math.log(Math.max(drop, minDrop * this.#goalDrop));
    const slope = other === undefined ? 1 : (logOf(other) - logOf(nearest)) / (other.depth - nearest.depth);
    const { left: measuredShare, speed } = this.#relative(nearest.figures);
    const excess = measuredShare / (nearest.left ?? 1);
    const drop = Math.exp(logOf(nearest) - slope * nearest.depth);
    return { left: left * excess, fixed: Math.min(fixed * excess, maxFixed * left * excess), speed, drop };
  }

  /**
   * Returns the ratio of a format's measured bytes to the expected ones, from candidates with a structural change. The square root attributes half of
   * the excess to each of the two. The lowest ratio counts.
   */
  #excess({ name, left = 1, fixed = 0 }: Offer): number {
    const excesses = this.#tried.flatMap(({ combination: { structure, numbers, training }, figures }) =>
      structure === undefined || numbers?.name !== name || training !== undefined || figures === undefined
        ? []
        : [this.#relative(figures).left / (fixed + (structure.left ?? 1) * (left - fixed))],
    );
    return excesses.length === 0 ? 1 : Math.sqrt(Math.min(...excesses));
  }

  /** Returns the geometric mean of a format's speedups after structural changes. It is lower than on the original if layers have become small. */
  #speedupAfterStructure({ name }: Offer): number | undefined {
    const ratios = this.#tried.flatMap(({ combination: { structure, numbers }, figures, sameAs }) => {
      if (structure === undefined || numbers?.name !== name || figures?.speed === undefined || sameAs !== undefined)
        return [];
      const alone = this.#tried.find(
        ({ combination: other, figures }) =>
          other.structure?.name === structure.name && other.numbers === undefined && figures?.speed !== undefined,
      );
      return alone?.figures?.speed === undefined ? [] : [figures.speed / alone.figures.speed];
    });
    return geometricMean(ratios);
  }

  #predictStructure(structure: Offer, healing: readonly Offer[]): Part | "refused" {
    const { left: expectedShare = 1 } = structure;
    const identicalPairs = this.#findIdentical(structure.family);
    if (identicalPairs.some(({ strong, mild }) => strong <= expectedShare && expectedShare < mild)) return "refused";
    const measured = this.#tried.flatMap(({ combination, figures, sameAs }) => {
      const member = combination.structure;
      if (member?.family !== structure.family) return [];
      const effect = figures === undefined ? undefined : this.#withoutFormat(combination, figures);
      const part = effect !== undefined && effect.left > maxChangedShare ? undefined : effect;
      const isTimed = figures?.speed !== undefined && sameAs === undefined;
      return [{ member, part, isTimed, remains: remainingDropShare(combination.healing) }];
    });
    const remains = remainingDropShare(healing);
    const isSame = (candidate: { readonly remains: number }): boolean => candidate.remains === remains;
    const sameStructure = measured.filter(({ member }) => member.name === structure.name);
    if (sameStructure.length > 0 && sameStructure.every(({ part }) => part === undefined)) return "refused";
    const effective = measured.flatMap(({ part, ...rest }) => (part === undefined ? [] : [{ ...rest, part }]));
    const distance = ({ member }: { readonly member: Offer }): number =>
      Math.abs(Math.log((member.left ?? 1) / expectedShare));
    const [nearest] = effective.toSorted((a, b) => Number(isSame(b)) - Number(isSame(a)) || distance(a) - distance(b));
    const exponent = exponentOfSpeed(effective.flatMap(({ part, isTimed }) => (isTimed ? [part] : [])));
    // Recovery does not change the speed, so timings of this structural change with any recovery count.
    const timed = effective.flatMap(({ member, part, isTimed }) =>
      isTimed && member.name === structure.name ? part.speed : [],
    );
    const predictSpeed = (share: number): number => geometricMean(timed) ?? share ** -exponent;
    if (nearest === undefined) {
      // Members up to the strongest one that left the file unchanged remove nothing, so the share expected of that one counts as 1.
      const remainingShare =
        expectedShare / Math.min(1, ...identicalPairs.flatMap(({ strong, mild }) => (mild === 1 ? [strong] : [])));
      return {
        left: remainingShare,
        speed: predictSpeed(remainingShare),
        drop: priorStructureDrop * this.#goalDrop * (1 / remainingShare - 1) * remains,
      };
    }
    const { part } = nearest;
    const shareOf = nearest.member.left ?? expectedShare;
    const remainingShare = part.left ** (Math.log(expectedShare) / Math.log(shareOf));
    const [reach, drop] = [harmOf(expectedShare) / harmOf(shareOf), Math.max(part.drop, minDrop * this.#goalDrop)];
    return {
      left: remainingShare,
      speed: predictSpeed(remainingShare),
      drop: drop * reach * (remains / nearest.remains),
    };
  }

  /**
   * Returns pairs of family members with the same file, by the shares of bytes that they were expected to leave (1 for the original). Members between
   * the two are expected to have the same file, too.
   */
  #findIdentical(family: string): readonly { readonly strong: number; readonly mild: number }[] {
    return this.#tried.flatMap(({ combination: { structure }, sameAs, isUnchanged = false }) => {
      if (structure?.family !== family) return [];
      const twin = this.#tried.find(({ combination }) => combination.name === sameAs)?.combination;
      const other = isUnchanged ? undefined : twin?.structure;
      if ((!isUnchanged && twin === undefined) || (other !== undefined && other.family !== family)) return [];
      const [a, b] = [structure.left ?? 1, other === undefined ? 1 : (other.left ?? 1)];
      return [{ strong: Math.min(a, b), mild: Math.max(a, b) }];
    });
  }

  /** Returns a candidate's result without the expected effect of its format. */
  #withoutFormat({ structure, numbers, training }: Combination, figures: Figures): Part {
    const total = this.#relative(figures);
    const format = numbers && this.#predictFormat(numbers, training, { left: structure?.left ?? 1 });
    if (format === undefined || format === "refused") return total;
    return {
      left: Math.max(minShare, (total.left - format.fixed) / (format.left - format.fixed)),
      speed: total.speed / ((numbers && this.#speedupAfterStructure(numbers)) ?? format.speed),
      drop: total.drop - Math.max(0, format.drop),
    };
  }

  #formatOf({ fixed = 0 }: Offer, figures: Figures): Format {
    const part = this.#relative(figures);
    return { ...part, fixed: Math.min(fixed, maxFixed * part.left) };
  }

  #relative({ size, speed = 1, drop }: Figures): Part {
    return { left: size / this.#original.size, speed, drop };
  }
}

interface Part {
  readonly left: number;
  readonly speed: number;
  readonly drop: number;
}

interface Format extends Part {
  /** Part of `left` that no structural change reduces. */
  readonly fixed: number;
}

function geometricMean(values: readonly number[]): number | undefined {
  if (values.length === 0) return undefined;
  return Math.exp(values.reduce((sum, value) => sum + Math.log(value), 0) / values.length);
}

const requireMuchLess = (share: number): number => 0.75 * share;

const harmOf = (share: number): number => Math.max(1e-3, 1 / share - 1);

/** Returns the share of a drop that remains after the most effective recovery step. */
const remainingDropShare = (healing: readonly Offer[]): number =>
  healing.reduce((share, { heals = 0 }) => Math.min(share, 1 - heals), 1);

/**
 * Estimates the exponent e in speed = l⁻ᵉ for structural changes of a family that leave a share l of the bytes. The prior 0.6 and the measurements
 * are weighted by their inverse variances. The standard error of ln(speed) is about 0.1, because some channel counts are slow and machines are busy:
 *
 *     e₀ = 0.6                      variance 0.3²
 *     e₁ = ln(speed) / ln(1 / l)    variance (0.1 / ln(1 / l))²
 */
export function exponentOfSpeed(measured: readonly { readonly left: number; readonly speed: number }[]): number {
  let [weight, sum] = [1 / priorDeviation ** 2, priorExponent / priorDeviation ** 2];
  for (const { left, speed } of measured) {
    const depth = Math.log(1 / left);
    weight += (depth / logSpeedError) ** 2;
    sum += (depth * Math.log(speed)) / logSpeedError ** 2;
  }
  return sum / weight;
}

const [priorExponent, priorDeviation] = [0.6, 0.3];
const logSpeedError = 0.1;
