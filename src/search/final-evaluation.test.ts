import { expect, test } from "vitest";
import { offer, scored } from "../../test/search/combination.ts";
import type { Evaluation } from "../judge/measure/evaluator.ts";
import { type ObjectiveOptions, objectiveOf, type Tradeoff } from "../judge/measure/objective.ts";
import { combineOffers } from "./combinations.ts";
import { finalistsOf, reservesOf } from "./final-evaluation.ts";
import type { ScoredTrial } from "./scored-trials.ts";

const goal = 0.01;
const fast = { speed: 1 };
const slow = { speed: 0.5 };
const [some] = combineOffers([offer("codes", "numbers")]);
const named = (name: string, figures: Tradeoff | undefined, more: Partial<ScoredTrial> = {}): ScoredTrial => ({
  ...scored({ ...(some ?? expect.fail()), name }, figures),
  ...more,
});
const unusable = (name: string, figures: Tradeoff): ScoredTrial => {
  const combination = named(name, figures);
  return { ...combination, attempt: { ...combination.attempt, isUsable: false } };
};
const finalists = (tried: readonly ScoredTrial[], options: ObjectiveOptions = {}): readonly string[] => {
  const [usual, bySize] = [options, { purpose: "size" } as const].map((one) => objectiveOf(one, goal, { bytes: 1000 }));
  if (usual === undefined || bySize === undefined) expect.fail();
  return finalistsOf(tried, usual, bySize).map(({ combination }) => combination.name);
};

test("selects the two smallest allowed candidates and the Pareto front, four in all", () => {
  const tried = [
    named("d", { size: 400, drop: 0.001, ...fast }),
    named("a", { size: 100, drop: 0.009, ...fast }),
    named("c", { size: 300, drop: 0.006, ...fast }),
    named("e", { size: 500, drop: 0, ...fast }),
    named("second", { size: 150, drop: 0.0095, ...fast }),
    named("no better than b", { size: 250, drop: 0.0085, ...fast }),
    named("b", { size: 200, drop: 0.008, ...fast }),
  ];
  expect(finalists(tried)).toEqual(["a", "second", "b", "c"]);
});

test("includes the smallest candidate that is slower, after the two best", () => {
  const tried = [
    named("small and slow", { size: 50, drop: 0.009, ...slow }),
    named("slow", { size: 60, drop: 0, ...slow }),
    named("a", { size: 100, drop: 0.009, ...fast }),
    named("b", { size: 200, drop: 0.008, ...fast }),
    named("c", { size: 300, drop: 0.007, ...fast }),
    named("d", { size: 400, drop: 0.006, ...fast }),
  ];
  expect(finalists(tried)).toEqual(["a", "b", "small and slow", "c"]);
});

test("lists no candidate twice", () => {
  const tried = [
    named("a", { size: 100, drop: 0.009, ...fast }),
    named("b", { size: 200, drop: 0.008, ...fast }),
    named("slow", { size: 200, drop: 0.001, ...slow }),
  ];
  expect(finalists(tried)).toEqual(["a", "b"]);
});

/** Returns a candidate whose interval is two standard errors wide on either side. */
function uncertain(name: string, { drop, ...figures }: Tradeoff, error: number): ScoredTrial {
  const combination = named(name, { drop, ...figures });
  const estimate = (value: number, error = 0) => ({
    value,
    low: value - 2 * error,
    high: value + 2 * error,
    count: 100,
    confidence: 0.95,
  });
  const evaluation: Evaluation = {
    measured: {
      name,
      sha256: name,
      brotli: undefined,
      parameters: 1,
      macs: undefined,
      bytes: figures.size,
      estimate: estimate(1 + drop),
    },
    comparison: {
      metric: "loss",
      unit: "",
      better: "lower",
      variance: 1,
      pairs: undefined,
      original: estimate(1),
      candidate: estimate(1 + drop),
      difference: estimate(drop, error),
    },
    agreement: undefined,
    validation: undefined,
    answers: { predicted: new Float64Array(), labels: new Float64Array() },
  };
  return { ...combination, attempt: { ...combination.attempt, evaluation } };
}

test("includes smaller candidates that miss the goal by at most a standard error", () => {
  const tried = [
    uncertain("holds", { size: 300, drop: 0.004, ...fast }, 0.004),
    uncertain("by chance", { size: 200, drop: 0.013, ...fast }, 0.004),
    uncertain("larger, by chance", { size: 250, drop: 0.013, ...fast }, 0.004),
    uncertain("not by chance", { size: 100, drop: 0.015, ...fast }, 0.004),
    uncertain("slow", { size: 50, drop: 0.013, ...slow }, 0.004),
  ];
  expect(finalists(tried)).toEqual(["holds", "by chance", "larger, by chance"]);
  const smallest = uncertain("smallest", { size: 150, drop: 0, ...fast }, 0);
  expect(finalists([...tried, smallest])).toEqual(["smallest", "holds", "by chance", "larger, by chance"]);
});

test("excludes a candidate that misses the goal if another meets it", () => {
  const tried = [
    named("misses", { size: 50, drop: 0.011, ...fast }),
    named("holds", { size: 900, drop: 0.01, ...fast }),
  ];
  expect(finalists(tried)).toEqual(["holds"]);
});

test("selects the candidates with the smallest drop if all miss the goal", () => {
  const drops = [0.05, 0.02, 0.06, 0.03, 0.04];
  const tried = drops.map((drop, at) => named(String(drop), { size: 100 + at, drop, ...fast }));
  expect(finalists(tried)).toEqual(["0.02", "0.03", "0.04", "0.05"]);
});

test("selects the smallest or the fastest candidates if none reaches the target", () => {
  const tried = [
    named("small", { size: 300, drop: 0.5, speed: 1.1 }),
    named("middle", { size: 400, drop: 0, speed: 1.2 }),
    named("fast", { size: 500, drop: 0.1, speed: 1.3 }),
  ];
  expect(finalists(tried, { targetSize: 200 })).toEqual(["small", "middle", "fast"]);
  expect(finalists(tried, { faster: 2 })).toEqual(["fast", "middle", "small"]);
});

test("reserves include the two fastest candidates if speeds are known", () => {
  const tried = [0.009, 0.004, 0.003, 0.002, 0.006, 0.001].map((drop, at) =>
    named(String(drop), { size: 100 + at, drop, speed: 1 + 100 * drop }),
  );
  const reserves = reservesOf(tried, [], objectiveOf({}, goal, { bytes: 1000 }));
  expect(reserves.map(({ combination }) => combination.name)).toEqual(["0.001", "0.002", "0.009", "0.006"]);
});

test("excludes a candidate that lost its function, whatever its metric value is", () => {
  const lost = named("lost", { size: 100, drop: 0, ...fast });
  const rejected = { ...lost.attempt.variant, rejected: 'its output "features" is lost', rejectedAs: "lost" } as const;
  const tried = [
    { ...lost, attempt: { ...lost.attempt, variant: rejected } },
    named("kept", { size: 500, drop: 0, ...fast }),
  ];
  expect(finalists(tried)).toEqual(["kept"]);
});

test("excludes candidates that are rejected, unusable or equal to another file", () => {
  const figures = { size: 100, drop: 0, ...fast };
  const tried = [
    named("rejected", undefined),
    unusable("unusable", figures),
    named("the same", figures, { sameAs: "kept" }),
    named("kept", { ...figures, size: 500 }),
  ];
  expect(finalists(tried)).toEqual(["kept"]);
});

test("selects the first four candidates if all were rejected", () => {
  const tried = ["a", "b", "c", "d", "e"].map((name) => named(name, undefined));
  expect(finalists(tried)).toEqual(["a", "b", "c", "d"]);
});

test("reserves are the other allowed candidates with the smallest drop", () => {
  const drops = [0.009, 0.004, 0.02, 0.002, 0.006, 0.001, 0.005];
  const tried = drops.map((drop, at) => named(String(drop), { size: 100 + at, drop, ...fast }));
  const reserves = reservesOf(tried, tried.slice(0, 1), objectiveOf({}, goal, { bytes: 1000 }));
  expect(reserves.map(({ combination }) => combination.name)).toEqual(["0.001", "0.002", "0.004", "0.005"]);
});
