import { expect, test } from "vitest";
import { roundTripFault } from "./foreign.ts";

test("2,000 random models are saved byte for byte", async () => {
  for (let seed = 1000; seed < 3000; seed++) expect(await roundTripFault(seed)).toBeUndefined();
});
