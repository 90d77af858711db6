import { expect, test } from "vitest";
import { roundTripFault } from "./foreign.ts";

test("open and save keep 2,000 random models byte for byte", async () => {
  for (let seed = 1000; seed < 3000; seed++) expect(await roundTripFault(seed)).toBeUndefined();
});
