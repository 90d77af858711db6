/**
 * Predicts bytes, speed and drop of untried candidates from tried ones. Speed factors multiply, drops add up, and shares of bytes multiply, except
 * for the part of a format that no structure reduces: nodes, names, scales.
 *
 *     bytes = (fixed + left(structure) · (left(numbers) − fixed)) · original        drop = drop(structure, healing) + drop(numbers)
 *
 * A structure that leaves a share l of the bytes loses in proportion to 1/l − 1. The factor comes from the nearest measured member of its family with
 * the same recovery, else from another recovery by their expected effects. `exponentOfSpeed` predicts the speed.
 */

import type { Figures } from "../judge/run/objective.ts";
import type { Combination, Offer, SparingOffer } from "./combinations.ts";

export interface Tried {
  readonly combination: Combination;
  /** Undefined if it was rejected for another reason than its drop. */
  readonly figures: Figures | undefined;
  /** An earlier candidate with the same file. */
  readonly sameAs?: string | undefined;
  readonly isUnchanged?: boolean;
}

/** Prior drops in units of the goal: a structure that leaves half of the bytes without recovery, a format, and a format before training. */
const [priorOfStructure, priorOfNumbers, priorOfTrained] = [10, 0.3, 3];
/** Bits of a weight in float, integers, and palettes. */
const [floatBits, mostBits, fewestBits] = [32, 8, 2];
/** A structure that leaves more has no effect. */
const noEffect = 0.99;
/** Maximum overhead of a format, because it is an estimate, and minimum share that a structure leaves. */
const [maxFixed, minShare] = [0.9, 0.01];
/** Certain part of that estimate. */
const minFixedPart = 0.5;
/** Lower drops are noise, in units of the goal. */
const minDrop = 0.1;

export class Forecast {
  readonly #original: Figures;
  readonly #unit: number;
  readonly #tried: Tried[] = [];
  readonly #figures = new Map<string, Figures | undefined>();

  constructor(original: Figures, unit: number) {
    this.#original = original;
    this.#unit = unit;
  }

  add(tried: Tried): void {
    this.#figures.set(tried.combination.name, tried.figures);
    // The precision fallback says nothing about the format.
    if (tried.combination.sparing === undefined) this.#tried.push(tried);
  }

  /** Returns undefined if a part is not possible for this model. */
  predict({ structure, healing, numbers, training, sparing }: Combination): Figures | undefined {
    if (sparing !== undefined) return this.#spared(sparing);
    const cut = structure && this.#structure(structure, healing);
    const format = numbers && this.#format(numbers, training, cut === "refused" ? undefined : cut);
    if (format === "refused" || cut === "refused") return undefined;
    const parts = [format, cut].filter((part) => part !== undefined);
    const { left: formatShare, fixed } = format ?? { left: 1, fixed: 0 };
    const remainingShare = fixed + (cut?.left ?? 1) * (formatShare - fixed);
    const speedAfterCut = numbers && structure && this.#speedBehind(numbers);
    const { size, speed = 1 } = this.#original;
    return {
      size: Math.min(size * remainingShare, numbers?.bytes ?? Number.POSITIVE_INFINITY),
      speed: speed * (cut?.speed ?? 1) * (speedAfterCut ?? format?.speed ?? 1),
      drop: parts.reduce((sum, part) => sum + Math.max(0, part.drop), 0),
    };
  }

  /** A drop d misses the goal g, so r = 1 − g / d of the error must be removed. Few layers have most of it: r² of the bytes are doubled. */
  #spared({ of }: SparingOffer): Figures | undefined {
    const plain = this.#figures.get(of);
    if (plain === undefined || plain.drop <= this.#unit) return undefined;
    const growth = 1 + (1 - this.#unit / plain.drop) ** 2;
    return { size: plain.size * growth, speed: plain.speed, drop: this.#unit };
  }

  #format(numbers: Offer, training: Offer | undefined, cut: Pick<Part, "left"> | undefined): Format | "refused" {
    if (numbers.bytes !== undefined) return this.#fitted(numbers, numbers.bytes, training, cut?.left ?? 1);
    return this.#alone(numbers, training, cut === undefined);
  }

  /**
   * Chooses as many bits per weight as fit after the structure. One bit less has four times the noise and about four times the drop. A size that was
   * out of reach remains so for structures that leave only a little less.
   */
  #fitted(numbers: Offer, bytes: number, training: Offer | undefined, leaves: number): Format | "refused" {
    const room = bytes / this.#original.size;
    const { fixed = 0 } = numbers;
    const missed = this.#tried.flatMap(
      ({ combination: { structure, healing, numbers: otherNumbers, training }, figures }) => {
        const isRounded =
          otherNumbers?.name === numbers.name && [...healing, training].every((step) => step?.trains !== true);
        return isRounded && figures === undefined ? [structure?.left ?? 1] : [];
      },
    );
    const maxShare = Math.min((floatBits * (room - minFixedPart * fixed)) / fewestBits, ...missed.map(muchLess));
    if (leaves > maxShare) return "refused";
    const bitsOf = (share: number): number =>
      Math.min(mostBits, Math.max(fewestBits, (floatBits * (room - fixed)) / share));
    const bits = bitsOf(leaves);
    const [alone] = this.#tried.filter(
      ({ combination: { structure, numbers: otherNumbers, training } }) =>
        structure === undefined && otherNumbers?.name === numbers.name && training === undefined,
    );
    const measured =
      alone?.figures === undefined
        ? { bits: 4, drop: priorOfNumbers * this.#unit }
        : { bits: bitsOf(1), drop: Math.max(alone.figures.drop, minDrop * this.#unit) };
    const remains = remaining(training === undefined ? [] : [training]);
    return {
      left: fixed + bits / floatBits,
      fixed,
      speed: 1,
      drop: measured.drop * 4 ** (measured.bits - bits) * remains,
    };
  }

  /** Predicts a format alone. A trained format is combined with others after it was tried alone. */
  #alone(numbers: Offer, training: Offer | undefined, isAlone: boolean): Format | "refused" {
    const tried = this.#tried.filter(
      ({ combination: { structure, numbers: otherNumbers } }) =>
        structure === undefined && otherNumbers?.name === numbers.name,
    );
    const [equal] = tried.filter(({ combination }) => combination.training?.name === training?.name);
    if (equal !== undefined) return equal.figures === undefined ? "refused" : this.#formatOf(numbers, equal.figures);
    const excess = this.#excess(numbers);
    const near = training === undefined ? this.#byFamily(numbers) : undefined;
    if (near !== undefined) return near;
    const [expectedShare, fixed] = [(numbers.left ?? 1) * excess, (numbers.fixed ?? 0) * excess];
    const remains = remaining(training === undefined ? [] : [training]);
    const prior = priorOfNumbers * (numbers.loses ?? 1);
    if (training === undefined) return { left: expectedShare, fixed, speed: 1, drop: prior * this.#unit };
    for (const { combination, figures } of tried) {
      if (combination.training === undefined || figures === undefined) continue;
      const part = this.#formatOf(numbers, figures);
      return { ...part, drop: (part.drop * remains) / remaining([combination.training]) };
    }
    return isAlone ? { left: expectedShare, fixed, speed: 1, drop: priorOfTrained * this.#unit * remains } : "refused";
  }

  /**
   * Predicts a format by measured ones of its family: the bytes by the nearest, in proportion to the expected ones; the drop between two by
   * interpolation of logarithms, else in proportion to the expected loss.
   */
  #byFamily({ family, loses = 1, left = 1, fixed = 0 }: Offer): Format | undefined {
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
      Math.log(Math.max(drop, minDrop * this.#unit));
    const slope = other === undefined ? 1 : (logOf(other) - logOf(nearest)) / (other.depth - nearest.depth);
    const { left: measuredShare, speed } = this.#relative(nearest.figures);
    const excess = measuredShare / (nearest.left ?? 1);
    const drop = Math.exp(logOf(nearest) - slope * nearest.depth);
    return { left: left * excess, fixed: Math.min(fixed * excess, maxFixed * left * excess), speed, drop };
  }

  /** Ratio of a format's bytes to the expected ones. With a structure, the excess is split evenly (square root); the minimum counts. */
  #excess({ name, left = 1, fixed = 0 }: Offer): number {
    const excesses = this.#tried.flatMap(({ combination: { structure, numbers, training }, figures }) =>
      structure === undefined || numbers?.name !== name || training !== undefined || figures === undefined
        ? []
        : [this.#relative(figures).left / (fixed + (structure.left ?? 1) * (left - fixed))],
    );
    return excesses.length === 0 ? 1 : Math.sqrt(Math.min(...excesses));
  }

  /** Geometric mean of a format's speedup of structures. It is smaller than for the original if layers have become small. */
  #speedBehind({ name }: Offer): number | undefined {
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

  #structure(structure: Offer, healing: readonly Offer[]): Part | "refused" {
    const { left: expectedShare = 1 } = structure;
    const equals = this.#equals(structure.family);
    if (equals.some(({ strong, mild }) => strong <= expectedShare && expectedShare < mild)) return "refused";
    const measured = this.#tried.flatMap(({ combination, figures, sameAs }) => {
      const member = combination.structure;
      if (member?.family !== structure.family) return [];
      const effect = figures === undefined ? undefined : this.#withoutFormat(combination, figures);
      const part = effect !== undefined && effect.left > noEffect ? undefined : effect;
      const isTimed = figures?.speed !== undefined && sameAs === undefined;
      return [{ own: member, part, isTimed, remains: remaining(combination.healing) }];
    });
    const remains = remaining(healing);
    const isSame = (candidate: { readonly remains: number }): boolean => candidate.remains === remains;
    const sameStructure = measured.filter(({ own }) => own.name === structure.name);
    if (sameStructure.length > 0 && sameStructure.every(({ part }) => part === undefined)) return "refused";
    const effective = measured.flatMap(({ part, ...rest }) => (part === undefined ? [] : [{ ...rest, part }]));
    const far = ({ own }: { readonly own: Offer }): number => Math.abs(Math.log((own.left ?? 1) / expectedShare));
    const [nearest] = effective.toSorted((a, b) => Number(isSame(b)) - Number(isSame(a)) || far(a) - far(b));
    const exponent = exponentOfSpeed(effective.flatMap(({ part, isTimed }) => (isTimed ? [part] : [])));
    // Recovery does not change the speed, so all timings of the structure count.
    const timed = effective.flatMap(({ own, part, isTimed }) =>
      isTimed && own.name === structure.name ? part.speed : [],
    );
    const predictSpeed = (share: number): number => geometricMean(timed) ?? share ** -exponent;
    if (nearest === undefined) {
      // The first effective member removes the least.
      const remainingShare =
        expectedShare / Math.min(1, ...equals.flatMap(({ strong, mild }) => (mild === 1 ? [strong] : [])));
      return {
        left: remainingShare,
        speed: predictSpeed(remainingShare),
        drop: priorOfStructure * this.#unit * (1 / remainingShare - 1) * remains,
      };
    }
    const { part } = nearest;
    const shareOf = nearest.own.left ?? expectedShare;
    const remainingShare = part.left ** (Math.log(expectedShare) / Math.log(shareOf));
    const [reach, drop] = [harm(expectedShare) / harm(shareOf), Math.max(part.drop, minDrop * this.#unit)];
    return {
      left: remainingShare,
      speed: predictSpeed(remainingShare),
      drop: drop * reach * (remains / nearest.remains),
    };
  }

  /** Members of a family with the same file, by the shares that they should leave (1 for the original). Members between them are equal too. */
  #equals(family: string): readonly { readonly strong: number; readonly mild: number }[] {
    return this.#tried.flatMap(({ combination: { structure }, sameAs, isUnchanged = false }) => {
      if (structure?.family !== family) return [];
      const twin = this.#tried.find(({ combination }) => combination.name === sameAs)?.combination;
      const other = isUnchanged ? undefined : twin?.structure;
      if ((!isUnchanged && twin === undefined) || (other !== undefined && other.family !== family)) return [];
      const [a, b] = [structure.left ?? 1, other === undefined ? 1 : (other.left ?? 1)];
      return [{ strong: Math.min(a, b), mild: Math.max(a, b) }];
    });
  }

  /** Removes the expected effect of the format from a candidate's result. */
  #withoutFormat({ structure, numbers, training }: Combination, figures: Figures): Part {
    const total = this.#relative(figures);
    const format = numbers && this.#format(numbers, training, { left: structure?.left ?? 1 });
    if (format === undefined || format === "refused") return total;
    return {
      left: Math.max(minShare, (total.left - format.fixed) / (format.left - format.fixed)),
      speed: total.speed / ((numbers && this.#speedBehind(numbers)) ?? format.speed),
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
  /** The part of `left` that no structure reduces. */
  readonly fixed: number;
}

function geometricMean(values: readonly number[]): number | undefined {
  if (values.length === 0) return undefined;
  return Math.exp(values.reduce((sum, value) => sum + Math.log(value), 0) / values.length);
}

const muchLess = (share: number): number => 0.75 * share;

const harm = (share: number): number => Math.max(1e-3, 1 / share - 1);

/** Share of a loss that remains after recovery. */
const remaining = (healing: readonly Offer[]): number =>
  healing.reduce((share, { heals = 0 }) => Math.min(share, 1 - heals), 1);

/**
 * Estimates the exponent e in speed = l⁻ᵉ for structures of a family that leave a share l of the bytes. The prior 0.6 and the measurements are
 * weighted by their variances. The error of a log speed is about 0.1, because some channel counts are slow and machines are busy:
 *
 *     e₀ = 0.6                      variance 0.3²
 *     e₁ = ln(speed) / ln(1 / l)    variance (0.1 / ln(1 / l))²
 */
export function exponentOfSpeed(measured: readonly { readonly left: number; readonly speed: number }[]): number {
  let [weight, sum] = [1 / spread ** 2, usual / spread ** 2];
  for (const { left, speed } of measured) {
    const depth = Math.log(1 / left);
    weight += (depth / noise) ** 2;
    sum += (depth * Math.log(speed)) / noise ** 2;
  }
  return sum / weight;
}

const [usual, spread] = [0.6, 0.3];
const noise = 0.1;
