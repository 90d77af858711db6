/**
 * Thousands of generated networks keep every promise. `PITH_NETWORKS` says how many are tried for each (100); the seed is drawn anew, and
 * printed where one fails.
 */
import { describe, test } from "vitest";
import { expectKept } from "./check.ts";
import { promises } from "./promises.ts";

const networks = Number(process.env.PITH_NETWORKS ?? 100);

describe("generated networks", () => {
  test.each(promises.map((promised) => [promised.name, promised] as const))("%s", async (_, promised) => {
    await expectKept(promised, { networks, limit: 120_000 });
  });
});
