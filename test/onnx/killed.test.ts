import { expect, test } from "vitest";
import { killWhileSaving } from "./killed.ts";

test("save leaves a complete model if its process is killed, also with external data", async () => {
  const faults = await Promise.all([killWhileSaving("inside", [13]), killWhileSaving("outside", [29])]);
  expect(faults.flat()).toEqual([]);
});
