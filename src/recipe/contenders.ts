/** What results of recipes are when one of them is chosen. */
import { type Goal, isWithin, judge } from "../evaluate/index.ts";
import type { Measured } from "../report/data.ts";
import type { Contender } from "./choose.ts";
import { nothingGained } from "./improvement.ts";
import type { Objective } from "./objective.ts";
import type { Attempt } from "./variant.ts";

/** The one that lost least of those that there are. */
export function nearest(tried: readonly Attempt[]): number | undefined {
  const drops = tried.flatMap(({ evaluation, variant }, place) =>
    evaluation === undefined || variant.refusedAs === "unchanged"
      ? []
      : [{ place, drop: judge(evaluation.comparison, { maxDrop: 0 }).drop.value }],
  );
  return drops.toSorted((a, b) => a.drop - b.drop)[0]?.place;
}

/**
 * Chosen on the validation samples, where there are any, or else on the test samples. The estimate counts: of results that may all
 * pass for want of samples, those that seem to keep the goal come first.
 */
export function contender({ evaluation, usable, variant }: Attempt, goal: Goal | undefined): Contender {
  const { validation, verdict, refused } = variant;
  const comparison = validation?.comparison ?? evaluation?.comparison;
  const found =
    (validation === undefined ? verdict : validation.verdict) ?? (comparison && judge(comparison, { maxDrop: 0 }));
  const open = usable && (validation !== undefined || refused === undefined);
  const met = validation !== undefined || verdict?.met !== false;
  return {
    bytes: evaluation?.measured.bytes,
    brotli: evaluation?.measured.brotli,
    sound: open && met && (found === undefined || goal === undefined || isWithin(found.drop, goal)),
    drop: open && Number.isFinite(found?.drop.value) ? found?.drop.value : undefined,
  };
}

export function withGain(original: Measured, tried: Attempt, work: number | undefined): Attempt {
  const { variant } = tried;
  if (variant.refused !== undefined) return tried;
  const idle = nothingGained(original, variant, work);
  if (idle === undefined) return tried;
  return { ...tried, usable: false, variant: { ...variant, refused: idle, refusedAs: "no gain" } };
}

/** Refused where it misses a target of size or speed. */
export function onTarget(tried: Attempt, speed: number | undefined, { lacks }: Objective): Attempt {
  const { variant } = tried;
  if (variant.result === undefined || variant.refused !== undefined) return tried;
  const why = lacks?.({ bytes: variant.result.bytes, speed, drop: 0 });
  return why === undefined
    ? tried
    : { ...tried, usable: false, variant: { ...variant, refused: why, refusedAs: "off target" } };
}

export function isKept(tried: Attempt | undefined): boolean {
  return tried?.variant.refused === undefined && tried?.variant.verdict?.met !== false;
}
