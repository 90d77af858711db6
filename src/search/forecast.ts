/**
 * Predicts bytes, speed and drop of combinations that were not tried from those that were. Speed factors multiply, drops add up, and shares of bytes multiply, except for
 * the part of a format that no structure makes smaller: nodes, names, scales.
 *
 *     bytes = (fixed + left(structure) · (left(numbers) − fixed)) · original        drop = drop(structure, healing) + drop(numbers)
 *
 * A structure that leaves a share l of the bytes loses about in proportion to 1/l − 1: the factor is that of the member of its family measured nearest to it, with the same
 * healing, else with another, by what the two are expected to take back. How fast it is follows from what it leaves (`expected-speed.ts`).
 */

import type { Figures } from "../recipe/objective.ts";
import type { Combination, Offer, SparingOffer } from "./combinations.ts";
import { exponentOfSpeed } from "./expected-speed.ts";

export interface Tried {
  readonly combination: Combination;
  /** Undefined where it was refused, for another reason than its drop. */
  readonly figures: Figures | undefined;
  /** An earlier combination that came to the same file. */
  readonly sameAs?: string | undefined;
  /** It came to the file of the original. */
  readonly isUnchanged?: boolean;
}

/** Before anything is known: drops of a structure that leaves half of the bytes and is not healed, of a format, and of one before it is trained, in units of the goal. */
const [priorOfStructure, priorOfNumbers, priorOfTrained] = [10, 0.3, 3];
/** Of a weight: in float, in integers, in palettes. */
const [floatBits, mostBits, fewestBits] = [32, 8, 2];
/** A structure that leaves more has changed nothing. */
const noEffect = 0.99;
/** What a format has beside its weights is an estimate, which is not believed beyond this share of a file. A structure leaves something. */
const [mostFixed, leastLeft] = [0.9, 0.01];
/** Of that estimate, what is certain. */
const leastOfFixed = 0.5;
/** Drops below are chance, in units of the goal. */
const leastDrop = 0.1;

export class Forecast {
  readonly #original: Figures;
  readonly #unit: number;
  readonly #tried: Tried[] = [];
  readonly #figures = new Map<string, Figures | undefined>();

  /** @param unit the drop that the goal allows. */
  constructor(original: Figures, unit: number) {
    this.#original = original;
    this.#unit = unit;
  }

  add(tried: Tried): void {
    this.#figures.set(tried.combination.name, tried.figures);
    // With layers in milder forms it says nothing of the format.
    if (tried.combination.sparing === undefined) this.#tried.push(tried);
  }

  /** Undefined where a part of it cannot be had from this model. */
  of({ structure, healing, numbers, training, sparing }: Combination): Figures | undefined {
    if (sparing !== undefined) return this.#spared(sparing);
    const cut = structure && this.#structure(structure, healing);
    const format = numbers && this.#format(numbers, training, cut === "refused" ? undefined : cut);
    if (format === "refused" || cut === "refused") return undefined;
    const parts = [format, cut].filter((part) => part !== undefined);
    const { left: whole, fixed } = format ?? { left: 1, fixed: 0 };
    const left = fixed + (cut?.left ?? 1) * (whole - fixed);
    const behind = numbers && structure && this.#speedBehind(numbers);
    const { bytes, brotli, speed = 1 } = this.#original;
    return {
      bytes: Math.min(bytes * left, numbers?.bytes ?? Number.POSITIVE_INFINITY),
      brotli: brotli === undefined ? undefined : brotli * left,
      speed: speed * (cut?.speed ?? 1) * (behind ?? format?.speed ?? 1),
      drop: parts.reduce((sum, part) => sum + Math.max(0, part.drop), 0),
    };
  }

  /**
   * Where a combination has missed the goal g with a drop d: a part r = 1 − g / d of the error has to go. The layers that have most of it come first, which are few: r² of the
   * bytes are doubled.
   */
  #spared({ of }: SparingOffer): Figures | undefined {
    const plain = this.#figures.get(of);
    if (plain === undefined || plain.drop <= this.#unit) return undefined;
    const growth = 1 + (1 - this.#unit / plain.drop) ** 2;
    const { bytes, brotli, speed } = plain;
    return { bytes: bytes * growth, brotli: brotli && brotli * growth, speed, drop: this.#unit };
  }

  /** @param cut the structure that it is for. */
  #format(numbers: Offer, training: Offer | undefined, cut: Pick<Part, "left"> | undefined): Format | "refused" {
    if (numbers.bytes !== undefined) return this.#fitted(numbers, numbers.bytes, training, cut?.left ?? 1);
    return this.#alone(numbers, training, cut === undefined);
  }

  /**
   * Of what a structure leaves, as many bits a weight as there is room for. With a bit less the noise is four times as large, and so is the drop, about. A size that was out of
   * reach stays so behind structures that leave little less.
   */
  #fitted(numbers: Offer, bytes: number, training: Offer | undefined, leaves: number): Format | "refused" {
    const room = bytes / this.#original.bytes;
    const { fixed = 0 } = numbers;
    const missed = this.#tried.flatMap(({ combination: { structure, healing, numbers: own, training }, figures }) => {
      // What trains may fail for other reasons.
      const isRounded = own?.name === numbers.name && [...healing, training].every((one) => one?.trains !== true);
      return isRounded && figures === undefined ? [structure?.left ?? 1] : [];
    });
    const mostLeft = Math.min((floatBits * (room - leastOfFixed * fixed)) / fewestBits, ...missed.map(muchLess));
    if (leaves > mostLeft) return "refused";
    const bitsOf = (share: number): number =>
      Math.min(mostBits, Math.max(fewestBits, (floatBits * (room - fixed)) / share));
    const bits = bitsOf(leaves);
    const [alone] = this.#tried.filter(
      ({ combination: { structure, numbers: own, training } }) =>
        structure === undefined && own?.name === numbers.name && training === undefined,
    );
    const known =
      alone?.figures === undefined
        ? { bits: 4, drop: priorOfNumbers * this.#unit }
        : { bits: bitsOf(1), drop: Math.max(alone.figures.drop, leastDrop * this.#unit) };
    const remains = remaining(training === undefined ? [] : [training]);
    return { left: fixed + bits / floatBits, fixed, speed: 1, drop: known.drop * 4 ** (known.bits - bits) * remains };
  }

  /** A format by itself, as it is rounded or trained. One that is trained is combined with others when it has been tried so. */
  #alone(numbers: Offer, training: Offer | undefined, isAlone: boolean): Format | "refused" {
    const tried = this.#tried.filter(
      ({ combination: { structure, numbers: own } }) => structure === undefined && own?.name === numbers.name,
    );
    const [found] = tried.filter(({ combination }) => combination.training?.name === training?.name);
    if (found !== undefined) return found.figures === undefined ? "refused" : this.#formatOf(numbers, found.figures);
    const excess = this.#excess(numbers);
    const [left, fixed] = [(numbers.left ?? 1) * excess, (numbers.fixed ?? 0) * excess];
    const remains = remaining(training === undefined ? [] : [training]);
    if (training === undefined) return { left, fixed, speed: 1, drop: priorOfNumbers * this.#unit };
    for (const { combination, figures } of tried) {
      if (combination.training === undefined || figures === undefined) continue;
      const part = this.#formatOf(numbers, figures);
      return { ...part, drop: (part.drop * remains) / remaining([combination.training]) };
    }
    return isAlone ? { left, fixed, speed: 1, drop: priorOfTrained * this.#unit * remains } : "refused";
  }

  /**
   * By how many times a format exceeds the bytes that were expected of it, where it was tried behind structures only. What both together exceed is divided evenly: the square
   * root is the format's. The least of all counts, since a structure may have changed little.
   */
  #excess({ name, left = 1, fixed = 0 }: Offer): number {
    const excesses = this.#tried.flatMap(({ combination: { structure, numbers, training }, figures }) =>
      structure === undefined || numbers?.name !== name || training !== undefined || figures === undefined
        ? []
        : [this.#relative(figures).left / (fixed + (structure.left ?? 1) * (left - fixed))],
    );
    return excesses.length === 0 ? 1 : Math.sqrt(Math.min(...excesses));
  }

  /** How many times as fast a format makes structures that were timed with it and without it, the geometric mean: less than it makes the original where layers have become small. */
  #speedBehind({ name }: Offer): number | undefined {
    const ratios = this.#tried.flatMap(({ combination: { structure, numbers }, figures, sameAs }) => {
      if (structure === undefined || numbers?.name !== name || figures?.speed === undefined || sameAs !== undefined)
        return [];
      const alone = this.#tried.find(
        ({ combination: own, figures }) =>
          own.structure?.name === structure.name && own.numbers === undefined && figures?.speed !== undefined,
      );
      return alone?.figures?.speed === undefined ? [] : [figures.speed / alone.figures.speed];
    });
    return geometricMean(ratios);
  }

  #structure(structure: Offer, healing: readonly Offer[]): Part | "refused" {
    const { left: wanted = 1 } = structure;
    const equals = this.#equals(structure.family);
    if (equals.some(({ strong, mild }) => strong <= wanted && wanted < mild)) return "refused";
    const measured = this.#tried.flatMap(({ combination, figures, sameAs }) => {
      const own = combination.structure;
      if (own?.family !== structure.family) return [];
      const whole = figures === undefined ? undefined : this.#withoutFormat(combination, figures);
      // So small a share was rounded to nothing.
      const part = whole !== undefined && whole.left > noEffect ? undefined : whole;
      const isTimed = figures?.speed !== undefined && sameAs === undefined;
      return [{ own, part, isTimed, remains: remaining(combination.healing) }];
    });
    const remains = remaining(healing);
    const isSame = (one: { readonly remains: number }): boolean => one.remains === remains;
    const of = measured.filter(({ own }) => own.name === structure.name);
    if (of.length > 0 && of.every(({ part }) => part === undefined)) return "refused";
    const known = measured.flatMap(({ part, ...one }) => (part === undefined ? [] : [{ ...one, part }]));
    const far = ({ own }: { readonly own: Offer }): number => Math.abs(Math.log((own.left ?? 1) / wanted));
    const [nearest] = known.toSorted((a, b) => Number(isSame(b)) - Number(isSame(a)) || far(a) - far(b));
    const exponent = exponentOfSpeed(known.flatMap(({ part, isTimed }) => (isTimed ? [part] : [])));
    // Healing changes no speed: all timings of the structure count.
    const timed = known.flatMap(({ own, part, isTimed }) => (isTimed && own.name === structure.name ? part.speed : []));
    const speedOf = (left: number): number => geometricMean(timed) ?? left ** -exponent;
    if (nearest === undefined) {
      // The first that changes something takes the least.
      const left = wanted / Math.min(1, ...equals.flatMap(({ strong, mild }) => (mild === 1 ? [strong] : [])));
      return { left, speed: speedOf(left), drop: priorOfStructure * this.#unit * (1 / left - 1) * remains };
    }
    const { part } = nearest;
    const shareOf = nearest.own.left ?? wanted;
    const left = part.left ** (Math.log(wanted) / Math.log(shareOf));
    const [reach, drop] = [harm(wanted) / harm(shareOf), Math.max(part.drop, leastDrop * this.#unit)];
    return { left, speed: speedOf(left), drop: drop * reach * (remains / nearest.remains) };
  }

  /** Members of a family that come to the same file, by the shares that they should leave, the original's being 1: so do those between, and the stronger one is of no use. */
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

  /** What a combination's structure has come to, without what its format is expected to add. */
  #withoutFormat({ structure, numbers, training }: Combination, figures: Figures): Part {
    const whole = this.#relative(figures);
    const format = numbers && this.#format(numbers, training, { left: structure?.left ?? 1 });
    if (format === undefined || format === "refused") return whole;
    return {
      left: Math.max(leastLeft, (whole.left - format.fixed) / (format.left - format.fixed)),
      speed: whole.speed / ((numbers && this.#speedBehind(numbers)) ?? format.speed),
      drop: whole.drop - Math.max(0, format.drop),
    };
  }

  #formatOf({ fixed = 0 }: Offer, figures: Figures): Format {
    const part = this.#relative(figures);
    return { ...part, fixed: Math.min(fixed, mostFixed * part.left) };
  }

  #relative({ bytes, speed = 1, drop }: Figures): Part {
    return { left: bytes / this.#original.bytes, speed, drop };
  }
}

interface Part {
  readonly left: number;
  readonly speed: number;
  readonly drop: number;
}

interface Format extends Part {
  /** Of `left`, what no structure makes smaller. */
  readonly fixed: number;
}

function geometricMean(values: readonly number[]): number | undefined {
  if (values.length === 0) return undefined;
  return Math.exp(values.reduce((sum, value) => sum + Math.log(value), 0) / values.length);
}

const muchLess = (left: number): number => 0.75 * left;

const harm = (left: number): number => Math.max(1e-3, 1 / left - 1);

/** Of a loss, behind all that heals it. */
const remaining = (healing: readonly Offer[]): number =>
  healing.reduce((left, { heals = 0 }) => Math.min(left, 1 - heals), 1);
