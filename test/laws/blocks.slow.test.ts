/** All exported networks, block after block. */
import { describe, it } from "vitest";
import { expectSameInARow, folder, networks } from "./block-laws.ts";

describe.skipIf(folder === undefined)("blocks in a row compute what the model does", () => {
  it.each(networks)("%s", (name) => expectSameInARow(name));
});
