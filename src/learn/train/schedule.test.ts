import { describe, expect, test } from "vitest";
import { golden } from "../../../test/shared.ts";
import { cosineDecay, linearDecay, oneCycle, parseSchedule, type Schedule, stepDecay, warmUp } from "./schedule.ts";

interface Rates {
  readonly name: string;
  readonly base_lr: number;
  readonly lr: readonly number[];
}

const oracle = (golden("optimizers") as { schedules: readonly Rates[] } | undefined)?.schedules;

/** Schedules by the name of the equal PyTorch schedule. PyTorch's three-phase and exponential schedules are not implemented. */
const table: Readonly<Record<string, { readonly schedule: Schedule; readonly greatest: number }>> = {
  "step: size 4, gamma 0.1": { schedule: stepDecay({ at: [4 / 12, 8 / 12] }), greatest: 0.1 },
  "multistep: [3, 7], gamma 0.1": { schedule: parseSchedule("steps(3, 7, factor=0.1)"), greatest: 0.1 },
  "cosine: T 12, min 0.0": { schedule: cosineDecay(), greatest: 0.1 },
  "linear decay: to 0 over 12": { schedule: linearDecay(), greatest: 0.1 },
  "linear warm-up 4 then cosine": { schedule: warmUp(cosineDecay(), 4), greatest: 0.1 },
  "one-cycle: max 0.5, T 12, pct_start 0.3, div 25, final 1e4, cos, three_phase False": {
    schedule: oneCycle(),
    greatest: 0.5,
  },
};

describe.skipIf(oracle === undefined)("schedules are PyTorch's", () => {
  test.each(Object.entries(table))("%s", (name, { schedule, greatest }) => {
    const rates = oracle?.find((each) => each.name.startsWith(name))?.lr ?? [];
    expect(rates.length).toBeGreaterThan(0);
    rates.forEach((rate, step) => {
      expect(greatest * schedule(step, 12)).toBeCloseTo(rate, 12);
    });
  });
});

test("warms up over a number of steps or a share of the training", () => {
  const factors = (length: number) =>
    Array.from({ length: 8 }, (_, step) => warmUp(parseSchedule("constant"), length)(step, 8));
  expect(factors(4)).toEqual([0.25, 0.5, 0.75, 1, 1, 1, 1, 1]);
  expect(factors(0.5)).toEqual(factors(4));
  expect(factors(0)).toEqual([1, 1, 1, 1, 1, 1, 1, 1]);
});

describe("steps with milestones", () => {
  const rates = (schedule: Schedule) =>
    Array.from({ length: 10 }, (_, step) => schedule(step, 10, { epoch: 2 })).map((rate) => Number(rate.toFixed(6)));

  test("multiplies the rate after each of the epochs", () => {
    expect(rates(parseSchedule("steps(2, 4, factor=0.5)"))).toEqual([1, 1, 1, 1, 0.5, 0.5, 0.5, 0.5, 0.25, 0.25]);
    expect(rates(parseSchedule("steps(2)"))).toEqual([1, 1, 1, 1, 0.1, 0.1, 0.1, 0.1, 0.1, 0.1]);
  });

  test("counts the epochs of a warm-up", () => {
    const schedule = warmUp(parseSchedule("steps(2, 4, factor=0.5)"), 2);
    expect(rates(schedule)).toEqual([0.5, 1, 1, 1, 0.5, 0.5, 0.5, 0.5, 0.25, 0.25]);
  });

  test("decays at shares of the training without epochs", () => {
    expect(rates(parseSchedule("steps"))).toEqual([1, 1, 1, 1, 1, 0.1, 0.1, 0.1, 0.01, 0.01]);
  });

  test.each([
    "steps()",
    "steps(8, 3)",
    "steps(3, 3)",
    "steps(0, 3)",
    "steps(3, factor=0)",
    "steps(3, factor=0.1, factor=0.2)",
  ])("rejects %s", (text) => {
    expect(() => parseSchedule(text)).toThrow(/expected epochs in ascending order and one factor/);
  });

  test.each(["cosine(3)", "steps(3", "stairs(3)", "(3)", ""])("rejects %j", (text) => {
    expect(() => parseSchedule(text)).toThrow(/expected constant, cosine, linear, steps, one-cycle or/);
  });
});
