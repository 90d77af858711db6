/**
 * Predicts bytes, speed and drop of untried candidates from the results of tried ones.
 *
 *     bytes = (fixed + share(structure) · (share(format) − fixed)) · original
 *     speed = speed(structure) · speed(format) · original
 *     drop  = drop(structure, recovery) + drop(format)
 *
 * - `share` is the share of bytes that remains. `fixedShare` is its part that no structural change reduces, such as nodes and names.
 * - The drop of a structural change that leaves the share l of the bytes is proportional to 1/l − 1.
 */
import type { Tradeoff } from "../judge/measure/objective.ts";
import type { Combination, FallbackOffer, Offer } from "./combinations.ts";

export interface Trial {
  readonly combination: Combination;
  /** Undefined if the candidate has no finite metric value or does not change the model. */
  readonly tradeoff: Tradeoff | undefined;
  /** Name of an earlier candidate with the same file. */
  readonly sameAs?: string | undefined;
  readonly isUnchanged?: boolean;
}

/** Drops assumed before any measurement, in multiples of the goal's maximum drop. For a structural change: the one that leaves half of the bytes. */
const [priorStructureDrop, priorFormatDrop, priorUntrainedDrop] = [10, 0.3, 3];
/** Bits per weight: of float32, and the maximum and minimum of integer formats and palettes. */
const [floatBits, maxBits, minBits] = [32, 8, 2];
const minUnchangedShare = 0.99;
/** Maximum ratio of fixed to remaining bytes of a format, and minimum share of bytes after a structural change. */
const [maxFixedShare, minRemainingShare] = [0.9, 0.01];
/** Share of the estimated fixed bytes that certainly exists. */
const minCertainFixed = 0.5;
/** Drops below this multiple of the goal's maximum drop count as noise. */
const minDrop = 0.1;

export class Forecast {
  readonly #original: Tradeoff;
  readonly #goalDrop: number;
  readonly #trials: Trial[] = [];
  readonly #tradeoffs = new Map<string, Tradeoff | undefined>();

  constructor(original: Tradeoff, goalDrop: number) {
    this.#original = original;
    this.#goalDrop = goalDrop;
  }

  add(trial: Trial): void {
    this.#tradeoffs.set(trial.combination.name, trial.tradeoff);
    // With the precision fallback, the drop is not that of the format alone.
    if (trial.combination.fallback === undefined) this.#trials.push(trial);
  }

  /** Returns undefined if the candidate should not be tried now, for example because its structural change or its format has failed. */
  predict({ structure, recovery, format, training, fallback }: Combination): Tradeoff | undefined {
    if (fallback !== undefined) return this.#predictFallback(fallback);
    const structureEffect = structure && this.#predictStructure(structure, recovery);
    const formatEffect =
      format && this.#predictFormat(format, training, structureEffect === "rejected" ? undefined : structureEffect);
    if (formatEffect === "rejected" || structureEffect === "rejected") return undefined;
    const parts = [formatEffect, structureEffect].filter((part) => part !== undefined);
    const { share: formatShare, fixed: fixedShare } = formatEffect ?? { share: 1, fixed: 0 };
    const remainingShare = fixedShare + (structureEffect?.share ?? 1) * (formatShare - fixedShare);
    const speedAfterStructure = format && structure && this.#speedupAfterStructure(format);
    const { size, speed = 1 } = this.#original;
    return {
      size: Math.min(size * remainingShare, format?.bytes ?? Number.POSITIVE_INFINITY),
      speed: speed * (structureEffect?.speed ?? 1) * (speedAfterStructure ?? formatEffect?.speed ?? 1),
      drop: parts.reduce((sum, part) => sum + Math.max(0, part.drop), 0),
    };
  }

  /** If the drop d exceeds the goal g, the fallback removes the share r = 1 − g / d of the error, and doubles the size of r² of the bytes. */
  #predictFallback({ nameWithoutFallback }: FallbackOffer): Tradeoff | undefined {
    const withoutFallback = this.#tradeoffs.get(nameWithoutFallback);
    if (withoutFallback === undefined || withoutFallback.drop <= this.#goalDrop) return undefined;
    const growth = 1 + (1 - this.#goalDrop / withoutFallback.drop) ** 2;
    return { size: withoutFallback.size * growth, speed: withoutFallback.speed, drop: this.#goalDrop };
  }

  #predictFormat(
    format: Offer,
    training: Offer | undefined,
    structureEffect: Pick<Effect, "share"> | undefined,
  ): FormatEffect | "rejected" {
    if (format.bytes !== undefined)
      return this.#predictFitted(format, format.bytes, training, structureEffect?.share ?? 1);
    return this.#predictFormatAlone(format, training, structureEffect === undefined);
  }

  /** Predicts a format whose bits are chosen for a target size. One bit less means four times the noise power, and about four times the drop. */
  #predictFitted(
    format: Offer,
    bytes: number,
    training: Offer | undefined,
    structureShare: number,
  ): FormatEffect | "rejected" {
    const targetShare = bytes / this.#original.size;
    const { fixedShare = 0 } = format;
    const failedShares = this.#trials.flatMap(
      ({ combination: { structure, recovery, format: otherFormat, training }, tradeoff }) => {
        const isUntrained =
          otherFormat?.name === format.name && [...recovery, training].every((step) => step?.hasTraining !== true);
        return isUntrained && tradeoff === undefined ? [structure?.sizeShare ?? 1] : [];
      },
    );
    const maxShare = Math.min(
      (floatBits * (targetShare - minCertainFixed * fixedShare)) / minBits,
      ...failedShares.map(maxRetriedShare),
    );
    if (structureShare > maxShare) return "rejected";
    const bitsOf = (share: number): number =>
      Math.min(maxBits, Math.max(minBits, (floatBits * (targetShare - fixedShare)) / share));
    const bits = bitsOf(structureShare);
    const [formatAlone] = this.#trials.filter(
      ({ combination: { structure, format: otherFormat, training } }) =>
        structure === undefined && otherFormat?.name === format.name && training === undefined,
    );
    const measuredFormat =
      formatAlone?.tradeoff === undefined
        ? { bits: 4, drop: priorFormatDrop * this.#goalDrop }
        : { bits: bitsOf(1), drop: Math.max(formatAlone.tradeoff.drop, minDrop * this.#goalDrop) };
    const remainingDrop = remainingDropShare(training === undefined ? [] : [training]);
    return {
      share: fixedShare + bits / floatBits,
      fixed: fixedShare,
      speed: 1,
      drop: measuredFormat.drop * 4 ** (measuredFormat.bits - bits) * remainingDrop,
    };
  }

  /** Predicts a format as if there were no structural change. */
  #predictFormatAlone(format: Offer, training: Offer | undefined, isAlone: boolean): FormatEffect | "rejected" {
    const formatTrials = this.#trials.filter(
      ({ combination: { structure, format: otherFormat } }) =>
        structure === undefined && otherFormat?.name === format.name,
    );
    const [trialWithSameTraining] = formatTrials.filter(
      ({ combination }) => combination.training?.name === training?.name,
    );
    if (trialWithSameTraining !== undefined)
      return trialWithSameTraining.tradeoff === undefined
        ? "rejected"
        : this.#formatEffectOf(format, trialWithSameTraining.tradeoff);
    const byteExcess = this.#byteExcess(format);
    const familyPrediction = training === undefined ? this.#predictByFamily(format) : undefined;
    if (familyPrediction !== undefined) return familyPrediction;
    const [expectedShare, fixedShare] = [(format.sizeShare ?? 1) * byteExcess, (format.fixedShare ?? 0) * byteExcess];
    const remainingDrop = remainingDropShare(training === undefined ? [] : [training]);
    const prior = priorFormatDrop * (format.relativeLoss ?? 1);
    if (training === undefined)
      return { share: expectedShare, fixed: fixedShare, speed: 1, drop: prior * this.#goalDrop };
    for (const { combination, tradeoff } of formatTrials) {
      if (combination.training === undefined || tradeoff === undefined) continue;
      const effect = this.#formatEffectOf(format, tradeoff);
      return { ...effect, drop: (effect.drop * remainingDrop) / remainingDropShare([combination.training]) };
    }
    if (!isAlone) return "rejected";
    const drop = Math.max(priorUntrainedDrop * this.#goalDrop * remainingDrop, this.#dropOfLarger(format, training));
    return { share: expectedShare, fixed: fixedShare, speed: 1, drop };
  }

  /** Returns the largest drop of larger formats after the same training. What they lose, smaller ones lose, too. */
  #dropOfLarger({ sizeShare = 1 }: Offer, training: Offer): number {
    const drops = this.#trials.flatMap(({ combination: { structure, format, training: other }, tradeoff }) =>
      structure === undefined && other?.name === training.name && (format?.sizeShare ?? 0) > sizeShare
        ? [tradeoff?.drop ?? Number.POSITIVE_INFINITY]
        : [],
    );
    return Math.max(0, ...drops);
  }

  /** Predicts a format from measured formats of its family: bytes from the nearest expected loss, the drop interpolated in logarithms. */
  #predictByFamily({
    family,
    relativeLoss = 1,
    sizeShare: remainingShare = 1,
    fixedShare = 0,
  }: Offer): FormatEffect | undefined {
    const measuredFormats = this.#trials.flatMap(({ combination: { structure, format, training }, tradeoff }) =>
      (structure ?? training) !== undefined || format?.family !== family || tradeoff === undefined
        ? []
        : [{ ...format, depth: Math.log((format.relativeLoss ?? 1) / relativeLoss), tradeoff }],
    );
    const byDistance = measuredFormats.toSorted((a, b) => Math.abs(a.depth) - Math.abs(b.depth));
    const [nearest] = byDistance;
    if (nearest === undefined) return undefined;
    const secondTrial = byDistance.find(({ depth }) => depth * nearest.depth < 0);
    const logOf = ({ tradeoff: { drop } }: (typeof byDistance)[number]): number =>
      Math.log(Math.max(drop, minDrop * this.#goalDrop));
    const slope =
      secondTrial === undefined ? 1 : (logOf(secondTrial) - logOf(nearest)) / (secondTrial.depth - nearest.depth);
    const { share: measuredShare, speed } = this.#relativeToOriginal(nearest.tradeoff);
    const excess = measuredShare / (nearest.sizeShare ?? 1);
    const drop = Math.exp(logOf(nearest) - slope * nearest.depth);
    const share = remainingShare * excess;
    return { share, fixed: Math.min(fixedShare * excess, maxFixedShare * share), speed, drop };
  }

  /** Returns the factor by which a format's bytes exceed the expected ones. Its structural change can cause the excess too, hence the square root. */
  #byteExcess({ name, sizeShare: remainingShare = 1, fixedShare = 0 }: Offer): number {
    const excesses = this.#trials.flatMap(({ combination: { structure, format, training }, tradeoff }) =>
      structure === undefined || format?.name !== name || training !== undefined || tradeoff === undefined
        ? []
        : [
            this.#relativeToOriginal(tradeoff).share /
              (fixedShare + (structure.sizeShare ?? 1) * (remainingShare - fixedShare)),
          ],
    );
    return excesses.length === 0 ? 1 : Math.sqrt(Math.min(...excesses));
  }

  /** Returns the geometric mean of a format's speedups after structural changes. Smaller layers can gain less than those of the original. */
  #speedupAfterStructure({ name }: Offer): number | undefined {
    const ratios = this.#trials.flatMap(({ combination: { structure, format }, tradeoff, sameAs }) => {
      if (structure === undefined || format?.name !== name || tradeoff?.speed === undefined || sameAs !== undefined)
        return [];
      const structureTrial = this.#trials.find(
        ({ combination: other, tradeoff }) =>
          other.structure?.name === structure.name && other.format === undefined && tradeoff?.speed !== undefined,
      );
      return structureTrial?.tradeoff?.speed === undefined ? [] : [tradeoff.speed / structureTrial.tradeoff.speed];
    });
    return geometricMean(ratios);
  }

  #predictStructure(structure: Offer, recovery: readonly Offer[]): Effect | "rejected" {
    const { sizeShare: expectedShare = 1 } = structure;
    const identicalPairs = this.#findIdenticalPairs(structure.family);
    if (identicalPairs.some(({ lowShare, highShare }) => lowShare <= expectedShare && expectedShare < highShare))
      return "rejected";
    const familyTrials = this.#trials.flatMap(({ combination, tradeoff, sameAs }) => {
      const member = combination.structure;
      if (member?.family !== structure.family) return [];
      const effect = tradeoff === undefined ? undefined : this.#removeFormatEffect(combination, tradeoff);
      const part = effect !== undefined && effect.share > minUnchangedShare ? undefined : effect;
      const isTimed = tradeoff?.speed !== undefined && sameAs === undefined;
      return [{ member, part, isTimed, remainingDrop: remainingDropShare(combination.recovery) }];
    });
    const remainingDrop = remainingDropShare(recovery);
    const hasSameRecovery = (candidate: { readonly remainingDrop: number }): boolean =>
      candidate.remainingDrop === remainingDrop;
    const trialsOfStructure = familyTrials.filter(({ member }) => member.name === structure.name);
    if (trialsOfStructure.length > 0 && trialsOfStructure.every(({ part }) => part === undefined)) return "rejected";
    const withEffect = familyTrials.flatMap(({ part, ...rest }) => (part === undefined ? [] : [{ ...rest, part }]));
    const distance = ({ member }: { readonly member: Offer }): number =>
      Math.abs(Math.log((member.sizeShare ?? 1) / expectedShare));
    const [nearest] = withEffect.toSorted(
      (a, b) => Number(hasSameRecovery(b)) - Number(hasSameRecovery(a)) || distance(a) - distance(b),
    );
    const exponent = exponentOfSpeed(withEffect.flatMap(({ part, isTimed }) => (isTimed ? [part] : [])));
    // Recovery does not change the speed.
    const speeds = withEffect.flatMap(({ member, part, isTimed }) =>
      isTimed && member.name === structure.name ? part.speed : [],
    );
    const predictSpeed = (share: number): number => geometricMean(speeds) ?? share ** -exponent;
    if (nearest === undefined) {
      // If structural changes of this family removed nothing, the expected share of the strongest of them counts as 1.
      const remainingShare =
        expectedShare /
        Math.min(1, ...identicalPairs.flatMap(({ lowShare, highShare }) => (highShare === 1 ? [lowShare] : [])));
      return {
        share: remainingShare,
        speed: predictSpeed(remainingShare),
        drop: priorStructureDrop * this.#goalDrop * (1 / remainingShare - 1) * remainingDrop,
      };
    }
    const { part } = nearest;
    const nearestShare = nearest.member.sizeShare ?? expectedShare;
    const remainingShare = part.share ** (Math.log(expectedShare) / Math.log(nearestShare));
    const [relativeDrop, drop] = [
      pruningStrength(expectedShare) / pruningStrength(nearestShare),
      Math.max(part.drop, minDrop * this.#goalDrop),
    ];
    return {
      share: remainingShare,
      speed: predictSpeed(remainingShare),
      drop: drop * relativeDrop * (remainingDrop / nearest.remainingDrop),
    };
  }

  /** Pairs of structural changes that gave the same file, as expected shares of bytes. A change between both shares should give the same file. */
  #findIdenticalPairs(family: string): readonly { readonly lowShare: number; readonly highShare: number }[] {
    return this.#trials.flatMap(({ combination: { structure }, sameAs, isUnchanged = false }) => {
      if (structure?.family !== family) return [];
      const twin = this.#trials.find(({ combination }) => combination.name === sameAs)?.combination;
      const other = isUnchanged ? undefined : twin?.structure;
      if ((!isUnchanged && twin === undefined) || (other !== undefined && other.family !== family)) return [];
      const [a, b] = [structure.sizeShare ?? 1, other === undefined ? 1 : (other.sizeShare ?? 1)];
      return [{ lowShare: Math.min(a, b), highShare: Math.max(a, b) }];
    });
  }

  #removeFormatEffect({ structure, format, training }: Combination, tradeoff: Tradeoff): Effect {
    const totalEffect = this.#relativeToOriginal(tradeoff);
    const formatEffect = format && this.#predictFormat(format, training, { share: structure?.sizeShare ?? 1 });
    if (formatEffect === undefined || formatEffect === "rejected") return totalEffect;
    return {
      share: Math.max(
        minRemainingShare,
        (totalEffect.share - formatEffect.fixed) / (formatEffect.share - formatEffect.fixed),
      ),
      speed: totalEffect.speed / ((format && this.#speedupAfterStructure(format)) ?? formatEffect.speed),
      drop: totalEffect.drop - Math.max(0, formatEffect.drop),
    };
  }

  #formatEffectOf({ fixedShare = 0 }: Offer, tradeoff: Tradeoff): FormatEffect {
    const part = this.#relativeToOriginal(tradeoff);
    return { ...part, fixed: Math.min(fixedShare, maxFixedShare * part.share) };
  }

  #relativeToOriginal({ size, speed = 1, drop }: Tradeoff): Effect {
    return { share: size / this.#original.size, speed, drop };
  }
}

/** Effect of a part of a candidate, relative to the original. */
interface Effect {
  /** Share of the original's bytes that remains. */
  readonly share: number;
  readonly speed: number;
  readonly drop: number;
}

interface FormatEffect extends Effect {
  /** Share of the original's bytes that no structural change reduces; part of `share`. */
  readonly fixed: number;
}

function geometricMean(values: readonly number[]): number | undefined {
  if (values.length === 0) return undefined;
  return Math.exp(values.reduce((sum, value) => sum + Math.log(value), 0) / values.length);
}

const maxRetriedShare = (share: number): number => 0.75 * share;

const pruningStrength = (share: number): number => Math.max(1e-3, 1 / share - 1);

/** Only the most effective recovery step counts. */
const remainingDropShare = (recovery: readonly Offer[]): number =>
  recovery.reduce((share, { recovery: recoveredShare = 0 }) => Math.min(share, 1 - recoveredShare), 1);

/**
 * Estimates the exponent e in speed = l⁻ᵉ for structural changes that leave a share l of the bytes: the mean of the prior e₀ and one estimate e₁ per
 * measurement, weighted by the inverse variances. The standard error of ln(speed) is about 0.1.
 *
 *   e₀ = 0.6                    variance 0.3²
 *   e₁ = ln(speed) / ln(1 / l)  variance (0.1 / ln(1 / l))²
 */
export function exponentOfSpeed(measurements: readonly { readonly share: number; readonly speed: number }[]): number {
  let [weight, sum] = [1 / priorDeviation ** 2, priorExponent / priorDeviation ** 2];
  for (const { share, speed } of measurements) {
    const depth = Math.log(1 / share);
    weight += (depth / logSpeedError) ** 2;
    sum += (depth * Math.log(speed)) / logSpeedError ** 2;
  }
  return sum / weight;
}

const [priorExponent, priorDeviation] = [0.6, 0.3];
const logSpeedError = 0.1;
