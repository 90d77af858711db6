import { expect, test } from "vitest";
import { killWhileSaving } from "./killed.ts";

test("a process that is killed while it saves leaves a whole model, with its weights beside it too", async () => {
  const faults = await Promise.all([killWhileSaving("inside", [13]), killWhileSaving("outside", [29])]);
  expect(faults.flat()).toEqual([]);
});
