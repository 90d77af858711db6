/** Writes a result with its sidecar files and compressed copies. */
import { type Model, saveFiles } from "#ir";
import { type Encoding, folderOf, makeFolder } from "#platform";
import { copiesOf, outdatedCopies, sizesOfCopies } from "../../../../core/files/compressed-copies.ts";
import { storeMissingSidecars } from "../../../../data/sidecars/sidecars.ts";
import type { JobContext } from "../../../../runtime/job/job.ts";
import type { CompressedSize } from "../../../../runtime/run/model-size.ts";
import { formatOutdated } from "../../../folder/precompressed.ts";

interface SaveOptions {
  readonly model: string;
  readonly out: string;
  readonly skipsSidecars: boolean;
  readonly fileBytes?: number | undefined;
  readonly precompress?: readonly Encoding[] | undefined;
}

/** Writes a result. Returns its files, and the sizes of compressed copies. */
export async function saveResult(
  result: Model,
  { model, out, skipsSidecars, fileBytes, precompress: encodings }: SaveOptions,
  { log, stage, writes }: Pick<JobContext, "log" | "stage" | "writes">,
): Promise<{ readonly files: readonly string[]; readonly copies: Partial<CompressedSize> }> {
  const missingSidecars = skipsSidecars ? [] : await storeMissingSidecars(result, model, out);
  await makeFolder(folderOf(out));
  const outdatedFiles = await outdatedCopies(out, encodings);
  if (outdatedFiles.length > 0) log({ id: "outdated", text: formatOutdated(out, outdatedFiles), level: "warning" });
  if (encodings !== undefined) stage("compress");
  writes([out, ...copiesOf(out, encodings)]);
  const files = await saveFiles(result, out, { fileBytes, precompress: encodings });
  if (missingSidecars.length > 0) log({ id: "sidecars", text: missingText(missingSidecars) });
  return { files, copies: encodings === undefined ? {} : await sizesOfCopies(files, encodings) };
}

function missingText(files: readonly string[]): string {
  return `not copied to the result: ${files.join(", ")}. Commands on texts and transformers.js need these files next to the model; to copy them, set \`--out\` to a folder`;
}
