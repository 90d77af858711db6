/** The thresholds of channel-threshold.test.ts in further networks, and if the number of channels is rounded to a multiple. */
import { expect, test } from "vitest";
import { topology } from "../../zoo/topologies.ts";
import { checkThresholds, residual } from "./thresholds.ts";

test.each([1, 4])(
  "a channel is removed at its threshold, and kept 0.1 % below it, in multiples of %d",
  async (multiple) => {
    expect(await checkThresholds(residual, [multiple])).toBeGreaterThan(10);
  },
);

/** Sums, heads, gates and shuffles. */
test.each(["residual-projection", "attention", "squeeze-excite", "channel-shuffle"])(
  "%s: a channel is removed at its threshold, and kept 0.1 % below it",
  async (name) => {
    await checkThresholds(topology(name).text, [undefined]);
  },
);
