/**
 * Generated networks keep every promise: 100 for each promise, or as many as two minutes allow. All of `PITH_NETWORKS` are tried if it is
 * set. The seed is drawn anew, and printed if a network fails.
 */
import { describe, test } from "vitest";
import { expectKept } from "./check.ts";
import { promises } from "./promises.ts";

const wanted = process.env.PITH_NETWORKS;
const search =
  wanted === undefined ? { networks: 100, limit: 120_000 } : { networks: Number(wanted), limit: 1_700_000 };

describe("generated networks", () => {
  test.each(promises.map((promised) => [promised.name, promised] as const))("%s", async (_, promised) => {
    await expectKept(promised, search);
  });
});
