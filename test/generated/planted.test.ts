/** Each rule of `simplify` applies to one of its examples in a generated network; hundreds of networks are in `planted.slow.test.ts`. */
import { test } from "vitest";
import { rulesById } from "../../src/core/ops/rules/index.ts";
import { expectFires } from "./planted.ts";

test.each([...rulesById.keys()].map((id, seed) => [id, seed] as const))(
  "the rule %s applies in a generated network, and keeps the outputs",
  (id, seed) => expectFires(id, { networks: 1, limit: 20_000, seed }),
);
