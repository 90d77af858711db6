import { open } from "#ir";
import { joinPath } from "#platform";
import { createEngine } from "../../../core/engine/index.ts";
import type { JobContext } from "../../../runtime/job/job.ts";
import { type TrimmedFolder, trimFolder } from "../../folder/trim-vocabulary.ts";
import { fileBytes, filesOfModel } from "../files/files.ts";
import { contextOf } from "../job-parts/open-model.ts";

export interface VocabularyOutput extends TrimmedFolder {
  readonly bytes: Readonly<Record<string, { readonly before: number; readonly after: number }>>;
}

export default async function vocabularyJob(
  input: { readonly folder: string; readonly texts: readonly string[]; readonly out: string; readonly seed: number },
  context: JobContext,
): Promise<VocabularyOutput> {
  const { folder, texts, out } = input;
  context.stage("texts");
  const trimmed = await trimFolder(folder, { texts, out }, contextOf(createEngine(), input, context));
  const bytes: Record<string, { before: number; after: number }> = {};
  for (const { file } of trimmed.models) {
    const [before, after] = [joinPath(folder, file), joinPath(out, file)];
    const sizeOf = async (path: string): Promise<number> => fileBytes(filesOfModel(await open(path), path));
    bytes[file] = { before: await sizeOf(before), after: await sizeOf(after) };
  }
  const name = "tokenizer.json";
  bytes[name] = { before: await fileBytes([joinPath(folder, name)]), after: await fileBytes([joinPath(out, name)]) };
  return { ...trimmed, bytes };
}
