/** The shares of allocation.test.ts in every topology. */
import { test } from "vitest";
import { topologies } from "../../zoo/topologies.ts";
import { expectShares } from "./shares.ts";

test.each(topologies.map(({ name, text }) => [name, text] as const))(
  "criterion × pattern × allocation prunes the requested share and empties no layer: %s",
  (_, text) => expectShares(text),
);
