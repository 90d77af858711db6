import { describe, expect, test } from "vitest";
import { golden } from "../../../test/shared.ts";
import { type Schedule, schedules, warmUp } from "./schedule.ts";

interface Rates {
  readonly name: string;
  readonly base_lr: number;
  readonly lr: readonly number[];
}

const oracle = (golden("optimizers") as { schedules: readonly Rates[] } | undefined)?.schedules;

/** Schedules by the name of the equal PyTorch schedule. */
const table: Readonly<Record<string, Schedule>> = {
  "cosine: T 12, min 0.0": schedules.cosine,
  "linear decay: to 0 over 12": schedules.linear,
  "linear warm-up 4 then cosine": warmUp(schedules.cosine, 4),
};

describe.skipIf(oracle === undefined)("schedules are PyTorch's", () => {
  test.each(Object.entries(table))("%s", (name, schedule) => {
    const rates = oracle?.find((each) => each.name.startsWith(name))?.lr ?? [];
    expect(rates.length).toBeGreaterThan(0);
    rates.forEach((rate, step) => {
      expect(0.1 * schedule(step, 12)).toBeCloseTo(rate, 12);
    });
  });
});

test("warms up over a number of steps or a share of the training", () => {
  const factors = (length: number) =>
    Array.from({ length: 8 }, (_, step) => warmUp(schedules.constant, length)(step, 8));
  expect(factors(4)).toEqual([0.25, 0.5, 0.75, 1, 1, 1, 1, 1]);
  expect(factors(0.5)).toEqual(factors(4));
  expect(factors(0)).toEqual([1, 1, 1, 1, 1, 1, 1, 1]);
});
