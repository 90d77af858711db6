import { expect, test } from "vitest";
import { killWhileSaving } from "./killed.ts";

test("killing a process while it saves leaves a complete model, also with external data", async () => {
  const faults = await Promise.all([killWhileSaving("inside", [13]), killWhileSaving("outside", [29])]);
  expect(faults.flat()).toEqual([]);
});
