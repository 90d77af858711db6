import { expect, test } from "vitest";
import { random } from "../../../src/core/tensor/random.ts";
import { killWhileSaving } from "./killed.ts";

test.each(["inside", "outside"] as const)(
  "save leaves a complete model if its process is killed, 80 times, weights %s",
  async (where) => {
    const numbers = random(3, "kill", where);
    const moments = Array.from({ length: 80 }, () => numbers.integer(150));
    expect(await killWhileSaving(where, moments)).toEqual([]);
  },
);

test("save leaves a complete model if its process is killed, also with external data", async () => {
  const faults = await Promise.all([killWhileSaving("inside", [13]), killWhileSaving("outside", [29])]);
  expect(faults.flat()).toEqual([]);
});
