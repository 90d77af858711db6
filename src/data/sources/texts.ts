/** Reads the texts of a file for generative models: the lines of a .txt file, or a column of a table. */
import { fileKind, readText } from "#platform";
import { textColumns, unusualTextColumn } from "../text/sequences.ts";
import { openDataset } from "./open.ts";

export interface Texts {
  readonly texts: readonly string[];
  /** Column of the texts; undefined for a common name such as "text". */
  readonly column?: string | undefined;
}

const batchRows = 1024;

/** Returns no texts for other files than .txt and tables. @throws PithError E_DATA as `openDataset` does, and if the column is ambiguous. */
export async function readTexts(path: string): Promise<Texts> {
  if ((await fileKind(path)) !== "file") return { texts: [] };
  if (path.endsWith(".txt")) return { texts: (await readText(path)).split("\n").filter((line) => line.trim() !== "") };
  if (!/\.(csv|tsv|jsonl)(\.gz)?$/i.test(path)) return { texts: [] };
  const dataset = await openDataset(path);
  const texts: string[] = [];
  let column: string | undefined;
  for await (const batch of dataset.batches({ size: batchRows })) {
    const [name = ""] = textColumns(batch, dataset.name) ?? [];
    const dense = batch[name];
    if (texts.length === 0) column = unusualTextColumn(batch, dataset.name);
    if (dense?.type === "string") texts.push(...dense.data);
  }
  return { texts, column };
}
