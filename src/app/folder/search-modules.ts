/**
 * Searches candidates of all techniques for each model of a folder, one model after the other. The result replaces the copy of the original:
 *
 *     onnx/model.onnx   the original   →   the result, if all modules pass jointly and no dtype is better
 *
 * A search returns several points (results) per module: larger ones have a smaller drop. The smallest points of all modules are checked jointly
 * first. While the check fails, one module gets its next larger point: the module for which this costs the least size per saved drop.
 */

import { PithError, throwIfAborted } from "../../core/errors.ts";
import { bytesOfFile, fileHash } from "../../core/files/hash.ts";
import { formatKept, planWrites } from "../../core/files/own-files.ts";
import { sizeFor } from "../../judge/run/objective.ts";
import { describe, originalBytes, writeRecorded } from "./describe.ts";
import { hashAndPrune, isFileOfModel, isUnchanged } from "./model-files.ts";
import { isFatal, rejectFile, sourcesHash, timeFile } from "./outcomes.ts";
import { removeCopies } from "./precompressed.ts";
import { figuresOf } from "./records.ts";
import { type FolderRun, type Found, fileOf, type Module } from "./run.ts";
import { checkTogether, runInLoader } from "./together.ts";

/** Removes the records of search results that were made with other settings. The run then restores the originals. */
export async function dropOtherSearches(run: FolderRun): Promise<void> {
  const { modules, records, out, written } = run;
  for (const module of modules) {
    const file = fileOf(module.base, "searched");
    const record = records.get(file);
    if (record === undefined) continue;
    if (record.made_from !== (await hashSources(run, module)) || !(await isUnchanged(out, file, written)))
      records.delete(file);
  }
}

const hashSources = (run: FolderRun, { hash }: Module): Promise<string> =>
  sourcesHash(run, hash, { ...run.options.settings, search: run.options.search?.settings ?? "none" });

interface Front {
  readonly module: Module;
  /** Results of a search, smallest first. Each one loses less than the one before. */
  readonly points: readonly Found[];
  position: number;
}

export async function searchModules(run: FolderRun): Promise<void> {
  const { options, context, modules, records, rows, inPlace } = run;
  if (options.search === undefined) return;
  if (inPlace) {
    const text = "no search, because the result would replace the original: choose another folder with -o";
    return context.log({ id: "search", text, level: "warning" });
  }
  const fronts: Front[] = [];
  for (const [module, share] of await sharesOf(run)) {
    throwIfAborted(context.signal, "Stopped on request.");
    const file = fileOf(module.base, "searched");
    const record = records.get(file);
    if (record !== undefined) {
      rows.set(file, { dtype: "searched", file, ...figuresOf(record), verdict: "there" });
      continue;
    }
    const front = await searchFront(run, module, share, options.search);
    if (front === undefined) continue;
    fronts.push(front);
    await placeResult(run, front);
  }
  // A failed check rejects at least one result, so the loop ends. If no module has a larger point, the check is repeated with the remaining results.
  while (fronts.length > 0 && !(await checkJointly(run))) {
    const next = findCheapestFront(fronts, options.purpose);
    if (next === undefined) continue;
    next.position += 1;
    for (const front of fronts) await placeResult(run, front);
  }
  for (const module of modules) await timeFile(run, module, "searched");
}

async function sharesOf({ folder, modules }: FolderRun): Promise<readonly (readonly [Module, number])[]> {
  const sizes = await originalBytes(
    folder,
    modules.map(({ base }) => base),
  );
  const totalBytes = [...sizes.values()].reduce((sum, size) => sum + size, 0);
  return modules.map((module) => [module, (sizes.get(`onnx/${module.base}.onnx`) ?? 0) / totalBytes]);
}

/** Searches one module. Returns its points; undefined if the search found no acceptable result. */
async function searchFront(
  run: FolderRun,
  module: Module,
  share: number,
  { find }: NonNullable<FolderRun["options"]["search"]>,
): Promise<Front | undefined> {
  try {
    const [best, ...largerResults] = await find(module, share);
    if (best === undefined) return undefined;
    const points = [best];
    const weigh = ({ figures }: Found): number => sizeFor(run.options.purpose, figures);
    for (const other of largerResults.toSorted((a, b) => weigh(a) - weigh(b)))
      if (other.drop < (points.at(-1)?.drop ?? 0) && weigh(other) > weigh(best)) points.push(other);
    return { module, points, position: 0 };
  } catch (error) {
    if (!(error instanceof PithError) || isFatal(error)) throw error;
    await rejectFile(run, fileOf(module.base, "searched"), "searched", error.message);
    return undefined;
  }
}

async function placeResult(run: FolderRun, { module, points, position }: Front): Promise<void> {
  const { out, records, rows, written, options } = run;
  const point = points[position];
  const file = fileOf(module.base, "searched");
  if (point === undefined) return;
  const hash = await fileHash(point.path);
  const copy = { path: file, hash, parts: () => bytesOfFile(point.path) };
  const { writes, kept } = await planWrites(out, [copy], written);
  if (kept.length > 0) return rejectFile(run, file, "searched", `${formatKept(file)}. Write to another folder.`);
  // The record is removed until the file is complete. If the run is stopped before that, the next run restores the original.
  records.delete(file);
  await removeCopies(run, file);
  await writeRecorded(run, writes);
  const hashes = await hashAndPrune(out, file);
  for (const path of [...written.keys()]) if (isFileOfModel(file, path) && !hashes.has(path)) written.delete(path);
  for (const [path, fileHashes] of hashes) written.set(path, fileHashes);
  const source = { dtype: "searched", source: file, source_hash: module.hash } as const;
  records.set(file, {
    ...source,
    made_from: await hashSources(run, module),
    judged_by: options.judgedBy,
    ...point.figures,
  });
  rows.set(file, { dtype: "searched", file, ...point.figures, verdict: "kept" });
  await describe(run);
}

/** Checks all search results together, in transformers.js and end to end. Rejects results that fail. Returns whether the check passes. */
async function checkJointly(run: FolderRun): Promise<boolean> {
  const { modules, main, rows } = run;
  if (!(await runInLoader(run, () => "searched"))) return false;
  const rowOf = (base: string) => rows.get(fileOf(base, "searched"));
  const row = [main, ...modules.map(({ base }) => base)]
    .map(rowOf)
    .find((row) => row !== undefined && row.verdict !== "rejected");
  return row === undefined || checkTogether(run, row, () => "searched");
}

/** Returns the front with the lowest price: additional size per saved drop. Returns undefined if no front has a next point. */
function findCheapestFront(fronts: readonly Front[], purpose: FolderRun["options"]["purpose"]): Front | undefined {
  const price = ({ points, position }: Front): number => {
    const [current, next] = [points[position], points[position + 1]];
    if (current === undefined || next === undefined) return Number.POSITIVE_INFINITY;
    return (sizeFor(purpose, next.figures) - sizeFor(purpose, current.figures)) / (current.drop - next.drop);
  };
  const [cheapest] = fronts.filter((front) => Number.isFinite(price(front))).toSorted((a, b) => price(a) - price(b));
  return cheapest;
}
