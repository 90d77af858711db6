/** Runs all exported networks block by block. */
import { describe, it } from "vitest";
import { expectSameInARow, folder, networks } from "./block-laws.ts";

describe.skipIf(folder === undefined)("consecutive blocks compute the outputs of the model", () => {
  it.each(networks)("%s", (name) => expectSameInARow(name));
});
