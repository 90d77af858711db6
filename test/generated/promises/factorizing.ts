/** Low rank. */

import { factorize } from "../../../src/factorize/index.ts";
import type { Network } from "../network.ts";
import { answers, batchesOf, engine, expectSentences, originalAnswers } from "../runs.ts";
import { expectSameShapes, type Promised } from "./promised.ts";

export const factorizing: readonly Promised[] = [{ rank: 1 }, { energy: 0.999 }, { ratio: 0.5 }].map((options) => ({
  name: `factorize ${JSON.stringify(options)}`,
  async keep(network: Network): Promise<void> {
    const expected = await originalAnswers(network);
    const result = network.model.clone();
    const outcome = await factorize(result, options, { engine });
    expectSentences(outcome);
    expectSameShapes(expected, await answers(result, batchesOf(network)));
  },
}));
