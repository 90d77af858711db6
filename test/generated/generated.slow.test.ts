/**
 * Generated networks keep every promise: 100 networks for each promise, or as many as two minutes allow. `PITH_NETWORKS` sets the number of
 * networks without that limit. The seed is random, and printed if a network fails.
 */
import { describe, test } from "vitest";
import { expectKept } from "./check.ts";
import { promises } from "./promises.ts";

const networkCount = process.env.PITH_NETWORKS;
const search =
  networkCount === undefined ? { networks: 100, limit: 120_000 } : { networks: Number(networkCount), limit: 1_700_000 };

describe("generated networks", () => {
  test.each(promises.map((promised) => [promised.name, promised] as const))("%s", async (_, promised) => {
    const { networks = search.networks } = networkCount === undefined ? promised : search;
    await expectKept(promised, { ...search, networks });
  });
});
