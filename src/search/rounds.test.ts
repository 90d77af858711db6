import { describe, expect, test } from "vitest";
import { offer as anyOffer, scored as anyScored } from "../../test/search/combination.ts";
import { type Objective, objectiveOf, type Tradeoff } from "../judge/measure/objective.ts";
import { type Combination, combineOffers, type Offer } from "./combinations.ts";
import { Forecast } from "./forecast.ts";
import { Rounds } from "./rounds.ts";
import type { ScoredTrial } from "./scored-trials.ts";
import { WorkEstimate } from "./work-estimate.ts";

const offer = (name: string, kind: Offer["kind"], more: Partial<Offer> = {}): Offer =>
  anyOffer(name, kind, { runs: 100, ...more });
const all = combineOffers([
  offer("cut by 20 %", "structure", { family: "cut", sizeShare: 0.64 }),
  offer("cut by 50 %", "structure", { family: "cut", sizeShare: 0.25 }),
  offer("rank", "structure", { sizeShare: 0.5 }),
  offer("fit", "healing", { recovery: 0.9 }),
  offer("learn", "healing", { recovery: 0.95, hasTraining: true, runs: 1e6 }),
  offer("codes", "numbers", { sizeShare: 0.25 }),
]);
const goal = 0.01;
const opened = (
  objective: Objective = objectiveOf({ purpose: "size" }, goal, { bytes: 1000 }),
  done: readonly string[] = [],
  some = all,
): Rounds =>
  new Rounds({
    combinations: some,
    objective,
    forecast: new Forecast({ size: 1000, speed: 1, drop: 0 }, goal),
    work: new WorkEstimate({ samples: 100, seconds: 1 }),
    isDone: (name) => done.includes(name),
  });
const named = (name: string, some = all): Combination => some.find((one) => one.name === name) ?? expect.fail(name);
const scored = (name: string, figures: Tradeoff | undefined, some = all): ScoredTrial =>
  anyScored(named(name, some), figures);
const unchanged = (name: string, some = all): ScoredTrial => {
  const { attempt, ...one } = scored(name, undefined, some);
  return { ...one, attempt: { ...attempt, isUsable: false, variant: { ...attempt.variant, rejectedAs: "unchanged" } } };
};
const names = (some: readonly Combination[]): readonly string[] => some.map(({ name }) => name);
const long = 1e9;

test("starts with number formats alone", () => {
  expect(names(opened().next(long))).toEqual(["codes"]);
});

test("tries formats in the order of their pass, or if only bytes count the least work first", () => {
  const some = combineOffers([
    offer("calibrated", "numbers", { sizeShare: 0.25, runs: 1000 }),
    offer("quick", "numbers", { sizeShare: 0.5, runs: 1 }),
  ]);
  const orders = ([{ purpose: "speed" }, { purpose: "size" }] as const).map((options) =>
    names(opened(objectiveOf(options, goal, { bytes: 1000 }), [], some).next(long)),
  );
  expect(orders).toEqual([
    ["calibrated", "quick"],
    ["quick", "calibrated"],
  ]);
});

test("starts with structures if there are no formats", () => {
  const without = all.filter(({ format }) => format === undefined);
  const first = opened(undefined, [], without).next(long);
  expect(first.length).toBeGreaterThan(0);
  for (const { structure } of first) expect(structure).toBeDefined();
});

test("tries at most one structure of each family per round", () => {
  const rounds = opened();
  rounds.add(scored("codes", { size: 250, drop: 0 }));
  const families = rounds.next(long).map(({ structure }) => structure?.family);
  expect(families.length).toBeGreaterThan(1);
  expect(new Set(families).size).toBe(families.length);
});

test("excludes candidates that take too long, unless an earlier search finished them", () => {
  const few = 100;
  const rounds = opened();
  rounds.add(scored("codes", { size: 250, drop: 0 }));
  expect(names(rounds.rankUntried(few)).filter((name) => name.includes("learn"))).toEqual([]);
  const again = opened(undefined, ["rank, fit, learn, codes"]);
  again.add(scored("codes", { size: 250, drop: 0 }));
  expect(names(again.rankUntried(few)).filter((name) => name.includes("learn"))).toEqual(["rank, fit, learn, codes"]);
});

test("excludes candidates that are expected to miss the goal or to gain nothing", () => {
  const rounds = opened();
  rounds.add(scored("codes", { size: 250, drop: 0 }));
  rounds.add(scored("rank, fit, codes", { size: 130, drop: 0.5 }));
  const promising = names(rounds.rankUntried(long));
  expect(promising).not.toContain("rank, codes");
  expect(promising).not.toContain("rank");
});

test("the best candidate is the smallest that is allowed", () => {
  const rounds = opened();
  expect(rounds.add(scored("codes", { size: 250, drop: 0 }))).toBe(true);
  expect(rounds.add(scored("rank, codes", { size: 125, drop: 2 * goal }))).toBe(false);
  expect(rounds.add(scored("rank, fit, codes", { size: 126, drop: goal }))).toBe(true);
  expect(rounds.add(scored("cut by 20 %, codes", { size: 160, drop: 0 }))).toBe(false);
  expect(rounds.best?.combination.name).toBe("rank, fit, codes");
});

test("the best candidate is never a rejected one", () => {
  const rounds = opened();
  expect(rounds.add(scored("codes", undefined))).toBe(false);
  expect(rounds.best).toBeUndefined();
  expect(names(rounds.rankUntried(long)).filter((name) => name.endsWith("codes"))).toEqual([]);
});

describe("a search for a speed", () => {
  const original = { bytes: 1000 };
  const cuts = [0.9, 0.7, 0.5, 0.3].map((sizeShare) =>
    offer(`to ${sizeShare}`, "structure", { family: "to", sizeShare }),
  );
  const some = combineOffers([
    ...cuts,
    offer("fit", "healing", { recovery: 0.9 }),
    offer("codes", "numbers", { sizeShare: 0.25 }),
  ]);
  const faster = (speed: number): Rounds => opened(objectiveOf({ faster: speed }, undefined, original), [], some);

  test("tries all formats first, because their speed is unknown", () => {
    expect(names(faster(4).next(long))).toEqual(["codes"]);
  });

  test("starts with the mildest pruning that is expected to reach the speed", () => {
    const rounds = faster(1.4);
    rounds.add(scored("codes", { size: 250, speed: 0.6, drop: 0 }));
    expect(names(rounds.next(long))).toEqual(["to 0.5"]);
  });

  test("tries stronger pruning until the speed is reached, although the mildest was not faster", () => {
    const rounds = faster(1.4);
    rounds.add(scored("codes", { size: 250, speed: 0.6, drop: 0 }));
    rounds.add(scored("to 0.9", { size: 900, speed: 0.999, drop: 0 }, some));
    rounds.add(scored("to 0.5", { size: 500, speed: 1.3, drop: 0.1 }, some));
    expect(names(rounds.next(long))).toEqual(["to 0.3"]);
  });

  test("recovers a candidate that misses the speed by less than timing varies", () => {
    const rounds = faster(2);
    rounds.add(scored("codes", { size: 250, speed: 1.4, drop: 0 }));
    rounds.add(scored("to 0.5", { size: 500, speed: 1.9, drop: 0.7 }, some));
    expect(names(rounds.rankUntried(long))).toContain("to 0.5, fit");
  });

  test("tries the nearest candidates if none is expected to reach the speed", () => {
    const rounds = faster(4);
    rounds.add(scored("codes", { size: 250, speed: 0.6, drop: 0 }));
    expect(names(rounds.rankUntried(long)).slice(0, 2)).toEqual(["to 0.3", "to 0.3, fit"]);
    rounds.add(scored("to 0.3", { size: 300, speed: 2, drop: 0.1 }, some));
    expect(names(rounds.rankUntried(long))).toEqual([]);
  });

  test("tries each family once if none is expected to reach the speed", () => {
    const more = combineOffers([...cuts, offer("layers", "structure", { sizeShare: 0.9 }), offer("codes", "numbers")]);
    const rounds = opened(objectiveOf({ faster: 4 }, undefined, original), [], more);
    rounds.add(scored("codes", { size: 250, speed: 2, drop: 0 }, more));
    rounds.add(scored("to 0.3, codes", { size: 100, speed: 3, drop: 0.1 }, more));
    expect(names(rounds.next(long))).toEqual(["layers, codes"]);
    rounds.add(scored("layers, codes", { size: 225, speed: 1.8, drop: 0.1 }, more));
    expect(names(rounds.next(long))).toEqual([]);
  });

  test("requires smaller drops at the same speed once a candidate reaches it", () => {
    const rounds = faster(1.4);
    rounds.add(scored("codes", { size: 250, speed: 0.6, drop: 0 }));
    rounds.add(scored("to 0.3", { size: 300, speed: 2, drop: 0.1 }, some));
    const next = names(rounds.rankUntried(long));
    expect(next).toContain("to 0.5");
    expect(next).toContain("to 0.3, fit");
    expect(next.filter((name) => /0\.[79]|codes/.test(name))).toEqual([]);
  });

  test("tries stronger pruning after an amount that changed nothing", () => {
    const rounds = faster(1.2);
    rounds.add(scored("codes", { size: 250, speed: 0.6, drop: 0 }));
    expect(names(rounds.next(long))).toEqual(["to 0.7"]);
    rounds.add(unchanged("to 0.7", some));
    expect(names(rounds.next(long))).toEqual(["to 0.5"]);
    rounds.add(unchanged("to 0.5", some));
    expect(names(rounds.rankUntried(long)).filter((name) => /0\.[579]/.test(name))).toEqual([]);
  });
});

describe("a search for a size", () => {
  const formats = (
    [
      ["eight", 0.25],
      ["four", 0.13],
      ["two", 0.08],
    ] as const
  ).map(([name, share]) => offer(name, "numbers", { sizeShare: share }));
  const sized = (targetSize: number): Rounds =>
    opened(
      objectiveOf({ targetSize }, undefined, { bytes: 1000 }),
      [],
      combineOffers([offer("cut", "structure", { sizeShare: 0.3 }), ...formats]),
    );

  test("does not start with formats that are too large", () => {
    expect(names(sized(260).next(long))).toEqual(["eight", "four", "two"]);
    expect(names(sized(140).next(long))).toEqual(["four", "two"]);
  });

  test("starts with pruning and formats that fit if all formats are too large", () => {
    const first = sized(60).next(long);
    expect(names(first)).toEqual(["cut, four"]);
  });

  test("looks for smaller candidates if files are a third larger than expected", () => {
    const some = combineOffers([
      ...[0.5, 0.2, 0.1].map((sizeShare) =>
        offer(`to ${sizeShare}`, "structure", { family: `to ${sizeShare}`, sizeShare }),
      ),
      offer("four", "numbers", { sizeShare: 0.13 }),
    ]);
    const rounds = opened(objectiveOf({ targetSize: 30 }, undefined, { bytes: 1000 }), [], some);
    expect(names(rounds.next(long))).toContain("to 0.2, four");
    rounds.add(scored("to 0.5, four", { size: 85, drop: 0 }, some));
    expect(names(rounds.next(long))).toEqual(["to 0.1, four"]);
  });
});

describe("a family of formats with increasing losses", () => {
  const losses = [0.1, 0.3, 1, 3, 10, 30];
  const some = combineOffers([
    offer("eight bits", "numbers", { sizeShare: 0.25 }),
    ...losses.map((relativeLoss) =>
      offer(`codes ${relativeLoss}`, "numbers", {
        family: "codes",
        sizeShare: 0.1 - 0.02 * Math.log10(relativeLoss),
        relativeLoss,
      }),
    ),
  ]);
  const download = (): Rounds => opened(objectiveOf({ purpose: "download" }, goal, { bytes: 1000 }), [], some);
  const add = (rounds: Rounds, loses: number, drop: number): boolean =>
    rounds.add(scored(`codes ${loses}`, { size: 100 - 20 * Math.log10(loses), drop }, some));

  test("starts with the smallest format that is expected to meet the goal", () => {
    expect(names(download().next(long))).toEqual(["eight bits", "codes 3"]);
  });

  test("continues with the smallest format that is then expected to meet the goal", () => {
    const rounds = download();
    rounds.add(scored("eight bits", { size: 250, drop: 0 }, some));
    add(rounds, 3, 20 * goal);
    expect(names(rounds.next(long))).toEqual(["codes 0.1"]);
    add(rounds, 0.1, 0.2 * goal);
    // A format between the two is expected to lose √(20 · 0.2) = 2 goals.
    expect(names(rounds.next(long))).toEqual(["codes 0.3"]);
  });

  test("tries formats milder than the best if nothing else is expected to gain", () => {
    const rounds = download();
    rounds.add(scored("eight bits", { size: 250, drop: 0 }, some));
    add(rounds, 10, 0.9 * goal);
    add(rounds, 30, 2 * goal);
    expect(names(rounds.next(long))).toEqual(["codes 3"]);
    add(rounds, 3, 0.5 * goal);
    expect(names(rounds.next(long))).toEqual(["codes 1"]);
    expect(names(rounds.next(0))).toEqual([]);
    add(rounds, 1, 0.2 * goal);
    expect(names(rounds.next(long))).toEqual([]);
  });
});

test("trains the smaller of two formats only if the larger one is not a candidate", () => {
  const some = combineOffers([
    offer("plain", "numbers", { sizeShare: 0.5 }),
    offer("large", "numbers", { sizeShare: 0.3, isTrainable: true }),
    offer("small", "numbers", { sizeShare: 0.2, isTrainable: true }),
    offer("learn", "healing", { recovery: 0.9, hasTraining: true }),
  ]);
  const trainedAfter = (plainSize: number): readonly string[] => {
    const rounds = opened(undefined, [], some);
    const results = { plain: [plainSize, 0], large: [300, 0.04], small: [200, 0.2] } as const;
    for (const [name, [size, drop]] of Object.entries(results)) rounds.add(scored(name, { size, drop }, some));
    return names(rounds.rankUntried(long)).filter((name) => name.endsWith(", learn"));
  };
  expect(trainedAfter(500)).toEqual(["large, learn"]);
  expect(trainedAfter(250)).toEqual(["small, learn"]);
});
