import { expect, test } from "vitest";
import { type Figures, type Objective, objectiveOf } from "../recipe/objective.ts";
import { type Combination, combinationsOf, type Offer } from "./combinations.ts";
import { Forecast } from "./forecast.ts";
import type { Scored } from "./record.ts";
import { Rounds } from "./rounds.ts";
import { Work } from "./work.ts";

const offer = (name: string, kind: Offer["kind"], more: Partial<Offer> = {}): Offer => ({
  ...{ name, kind, family: name, options: {}, runs: 100, pass: name },
  ...more,
});
const all = combinationsOf([
  offer("cut by 20 %", "structure", { family: "cut", left: 0.64 }),
  offer("cut by 50 %", "structure", { family: "cut", left: 0.25 }),
  offer("rank", "structure", { left: 0.5 }),
  offer("fit", "healing", { heals: 0.9 }),
  offer("learn", "healing", { heals: 0.95, trains: true, runs: 1e6 }),
  offer("codes", "numbers", { left: 0.25 }),
]);
const goal = 0.01;
const opened = (
  objective: Objective = objectiveOf({ purpose: "size" }, goal, { bytes: 1000 }),
  done: readonly string[] = [],
  some = all,
): Rounds =>
  new Rounds({
    ...{ all: some, objective },
    forecast: new Forecast({ bytes: 1000, drop: 0 }, goal),
    work: new Work({ samples: 100, seconds: 1 }),
    isDone: (name) => done.includes(name),
  });
const named = (name: string): Combination => all.find((one) => one.name === name) ?? expect.fail(name);
const scored = (name: string, figures: Figures | undefined): Scored => ({
  ...{ combination: named(name), figures, seconds: 1, spent: 1, sameAs: undefined },
  attempt: {
    ...{ usable: true, evaluation: undefined },
    variant: {
      name,
      steps: [],
      refused: undefined,
      validation: undefined,
      result: undefined,
      comparison: undefined,
      agreement: undefined,
      verdict: undefined,
    },
  },
});
const names = (some: readonly Combination[]): readonly string[] => some.map(({ name }) => name);
const long = 1e9;

test("formats of numbers alone come first", () => {
  expect(names(opened().next(long))).toEqual(["codes"]);
});

test("where no format is combined, structures come first", () => {
  const without = all.filter(({ numbers }) => numbers === undefined);
  const first = opened(undefined, [], without).next(long);
  expect(first.length).toBeGreaterThan(0);
  for (const { structure } of first) expect(structure).toBeDefined();
});

test("a round has one of each family of structures", () => {
  const rounds = opened();
  rounds.add(scored("codes", { bytes: 250, drop: 0 }));
  const families = rounds.next(long).map(({ structure }) => structure?.family);
  expect(families.length).toBeGreaterThan(1);
  expect(new Set(families).size).toBe(families.length);
});

test("what there is no time for is not tried, unless an earlier search has done it", () => {
  const few = 100;
  const rounds = opened();
  rounds.add(scored("codes", { bytes: 250, drop: 0 }));
  expect(names(rounds.promising(few)).filter((name) => name.includes("learn"))).toEqual([]);
  const again = opened(undefined, ["rank, fit, learn, codes"]);
  again.add(scored("codes", { bytes: 250, drop: 0 }));
  expect(names(again.promising(few)).filter((name) => name.includes("learn"))).toEqual(["rank, fit, learn, codes"]);
});

test("what is expected to miss the goal, or to gain nothing, is not tried", () => {
  const rounds = opened();
  rounds.add(scored("codes", { bytes: 250, drop: 0 }));
  rounds.add(scored("rank, fit, codes", { bytes: 130, drop: 0.5 }));
  const left = names(rounds.promising(long));
  expect(left).not.toContain("rank, codes");
  expect(left).not.toContain("rank");
});

test("the best is the smallest that is allowed", () => {
  const rounds = opened();
  expect(rounds.add(scored("codes", { bytes: 250, drop: 0 }))).toBe(true);
  expect(rounds.add(scored("rank, codes", { bytes: 125, drop: 2 * goal }))).toBe(false);
  expect(rounds.add(scored("rank, fit, codes", { bytes: 126, drop: goal }))).toBe(true);
  expect(rounds.add(scored("cut by 20 %, codes", { bytes: 160, drop: 0 }))).toBe(false);
  expect(rounds.best?.combination.name).toBe("rank, fit, codes");
});

test("nothing is the best that was refused", () => {
  const rounds = opened();
  expect(rounds.add(scored("codes", undefined))).toBe(false);
  expect(rounds.best).toBeUndefined();
  expect(names(rounds.promising(long)).filter((name) => name.endsWith("codes"))).toEqual([]);
});
