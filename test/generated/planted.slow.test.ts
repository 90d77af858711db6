/**
 * Each rule of `simplify` applies to its examples in generated networks: 200 networks for each rule, or as many as two minutes allow. `PITH_NETWORKS`
 * sets the number of networks without that limit.
 */
import { describe, test } from "vitest";
import { rulesById } from "../../src/core/ops/rules/index.ts";
import { expectFires, expectKeeps } from "./planted.ts";

const networkCount = process.env.PITH_NETWORKS;
const search =
  networkCount === undefined ? { networks: 200, limit: 120_000 } : { networks: Number(networkCount), limit: 1_700_000 };

describe.each([...rulesById.keys()])("the rule %s in generated networks", (id) => {
  test("applies, and keeps the outputs", () => expectFires(id, search));

  test("does not apply to the nearest models", () => expectKeeps(id, search));
});
