/** How much of a text a tokenizer does not know: a model that is fed the same unknown token again and again answers nothing. */

import { take } from "./select.ts";
import { textColumns } from "./sequences.ts";
import type { TextTokenizer } from "./tokenizer.ts";
import type { Dataset } from "./types.ts";

/** Samples that are looked at: enough to see what kind of text it is. */
const samplesSeen = 256;

/** The share of the tokens of the first samples, marks around them left out, that stand for what is not in the vocabulary; 0 without tokens. */
export async function unknownShare(dataset: Dataset, tokenizer: TextTokenizer): Promise<number> {
  let [unknown, all] = [0, 0];
  if (tokenizer.unknown === undefined) return 0;
  const count = (ids: readonly number[]): void => {
    for (const id of ids) unknown += Number(id === tokenizer.unknown);
    all += ids.length;
  };
  for await (const batch of take(dataset, samplesSeen).batches({ size: 64 })) {
    const { tokens } = batch;
    if (tokens?.type === "int64") count(Array.from(tokens.data, Number));
    for (const name of tokens === undefined ? (textColumns(batch, dataset.name) ?? []) : []) {
      const column = batch[name];
      if (column?.type === "string") for (const text of column.data) count(tokenizer.plain(text));
    }
  }
  return all === 0 ? 0 : unknown / all;
}
