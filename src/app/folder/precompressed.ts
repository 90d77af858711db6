/** Writes and removes .gz and .br copies of model files, except copies that Pith did not write. */
import { bytes, joinList } from "#ir";
import { fileKind, joinPath, listFolder, removeFile } from "#platform";
import { copiesOf, encodings, precompress } from "../../core/files/compressed-copies.ts";
import { fileHash } from "../../core/files/hash.ts";
import { formatKept, isAuthoredFile } from "../../core/files/own-files.ts";
import { writeDescriptions, writeRecorded } from "./description-files.ts";
import type { FolderRun } from "./folder-run.ts";
import { isFileOfModel } from "./model-files.ts";

/** Removes the copies of a model and of its weights. Warns of copies that Pith did not write. */
export async function removeCopies({ out, written, context }: FolderRun, file: string): Promise<void> {
  const names = await listFolder(joinPath(out, "onnx")).catch((): string[] => []);
  const copies = names
    .map((name) => `onnx/${name}`)
    .filter((path) => isFileOfModel(file, path.replace(/\.(gz|br)$/, "")) && !isFileOfModel(file, path));
  const authoredCopies: string[] = [];
  for (const copy of copies) {
    if (await isAuthoredFile(out, copy, written)) authoredCopies.push(copy);
    else await removeFile(joinPath(out, copy));
    written.delete(copy);
  }
  if (authoredCopies.length > 0)
    context.log({ id: "outdated", text: formatOutdated(file, authoredCopies), level: "warning" });
}

export const formatOutdated = (path: string, copies: readonly string[]): string =>
  `copies of an earlier model stay, and servers send them instead of ${path}: ${joinList(copies)}; remove them, or write new ones: \`pith simplify\` and \`pith quantize\` have \`--precompress\``;

export async function precompressFiles(run: FolderRun): Promise<void> {
  const { records, rows, options } = run;
  if (options.precompress === undefined) return;
  for (const file of records.keys()) if (rows.has(file)) await precompressFile(run, file, options.precompress);
}

async function precompressFile(
  run: FolderRun,
  file: string,
  requested: readonly (typeof encodings)[number][],
): Promise<void> {
  const { out, context, records, rows, written } = run;
  const [record, row] = [records.get(file), rows.get(file)];
  const files = [...written.keys()].filter((path) => isFileOfModel(file, path));
  const copies = files.flatMap((path) => copiesOf(path, requested));
  const isDone = async (copy: string): Promise<boolean> =>
    written.get(copy)?.length === 1 &&
    (await fileKind(joinPath(out, copy))) === "file" &&
    !(await isAuthoredFile(out, copy, written));
  if (record === undefined || row === undefined || (await Promise.all(copies.map(isDone))).every(Boolean)) return;
  for (const copy of copies) {
    if (!(await isAuthoredFile(out, copy, written))) continue;
    return context.log({ id: "kept", text: formatKept(joinPath(out, copy)), level: "warning" });
  }
  // The names are recorded first, because a copy without a record would look like one of the user.
  for (const copy of copies) written.set(copy, []);
  await writeRecorded(run, []);
  const { compress = (...copying) => precompress(...copying, context.signal) } = run.options;
  const sizes = await compress(
    files.map((path) => joinPath(out, path)),
    requested,
  );
  for (const copy of copies) written.set(copy, [await fileHash(joinPath(out, copy))]);
  const compressedSizes = {
    ...sizes,
    copies: encodings.filter((encoding) => requested.includes(encoding) || record.copies?.includes(encoding)),
  };
  const { gzip, brotli } = sizes;
  const text = [
    ...(gzip === undefined ? [] : [`gzip ${bytes(gzip)}`]),
    ...(brotli === undefined ? [] : [`brotli ${bytes(brotli)}`]),
  ];
  context.log({ id: "compressed", text: `${file}: ${text.join(", ")}` });
  records.set(file, { ...record, ...compressedSizes });
  rows.set(file, { ...row, ...compressedSizes });
  await writeDescriptions(run);
}
