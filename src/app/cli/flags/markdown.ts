/** The flag `--markdown`. */
import * as v from "valibot";
import { option } from "#pass";
import { requireNotInput } from "../files/file-paths.ts";
import { requireAppendable } from "../files/writable.ts";

export const markdownFlag = {
  markdown: option(v.string(), "append the result to this file as Markdown", { value: "file", common: true }),
};

/** Checks that the file can be extended. @throws PithError E_OPTION if it is one of the inputs; E_FILE. */
export async function requireMarkdownFile(
  file: string | undefined,
  inputs: Parameters<typeof requireNotInput>[1],
): Promise<void> {
  if (file === undefined) return;
  await requireNotInput(file, inputs);
  await requireAppendable(file);
}
