/** The flag `--text`: sample sentences, or a file with one per line. */
import { stat, writeFile } from "node:fs/promises";
import { join } from "node:path";
import * as v from "valibot";
import { usageError } from "#ir";
import { option } from "#pass";
import { temporaryFolder } from "#platform";
import type { Result } from "../command.ts";

export const textFlag = (text: string) => option(v.array(v.string()), text, { value: "line" });

interface TextOptions {
  readonly data?: string | undefined;
  readonly isText?: boolean | undefined;
}

const textFileName = /^\S+\.(txt|csv|tsv|jsonl)$/i;

/** Calls `work` with `--text` as the data. @throws PithError E_USAGE if `--data` is set, too. */
export async function withTextsAsData<O extends TextOptions>(
  { text, ...options }: O & { readonly text?: readonly string[] | undefined },
  work: (options: Omit<O, "text"> & TextOptions) => Promise<Result>,
): Promise<Result> {
  if (text === undefined) return work(options);
  if (options.data !== undefined) throw usageError("Give one of --text and --data.");
  const [first = ""] = text;
  // A word that looks like a file name is a file, so a missing file is not taken for a text.
  const isFile = textFileName.test(first) || (await stat(first).catch(() => undefined))?.isFile() === true;
  if (text.length === 1 && isFile) return work({ ...options, data: first, isText: true });
  const folder = await temporaryFolder();
  try {
    const data = join(folder.path, "texts.txt");
    await writeFile(data, `${text.join("\n")}\n`);
    return await work({ ...options, data, isText: true });
  } finally {
    await folder.remove();
  }
}
