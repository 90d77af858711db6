/** Measures how much of a text a tokenizer does not know: a model fed only with unknown tokens is useless. */

import { take } from "./select.ts";
import { textColumns } from "./sequences.ts";
import type { TextTokenizer } from "./tokenizer.ts";
import type { Dataset } from "./types.ts";

const samplesSeen = 256;

/** Returns the share of unknown tokens in the first samples, without marks; 0 without tokens. */
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
