/** Figures of files: every number of the demo comes from a model that was saved, opened again and run. */
import { createHash } from "node:crypto";
import { readFile } from "node:fs/promises";
import { basename } from "node:path";
import { type Model, open, save } from "pith";
import type { Measured } from "pith/compress";
import type { Dataset } from "pith/data";
import type { Engine } from "pith/engine";
import { accuracy, type Comparison, compareRows, measure, size } from "pith/evaluate";
import { cost, fixedDims, fixInputs, infer, learnedCount, learnedTensors } from "pith/extend";
import { isPruned, remove } from "pith/prune";

/** A file and what is known of it. */
export interface Standing {
  readonly file: string;
  readonly model: Model;
  readonly measured: Measured;
  /** With the original, sample by sample. */
  readonly comparison: Comparison;
  /** 1 for each sample that is answered as its label says. */
  readonly right: Float64Array;
}

const metric = accuracy();

/** Saves a model, its masks folded in, and measures the file; beside `original`, if there is one yet. */
export async function saveAndMeasure(
  engine: Engine,
  model: Model,
  file: string,
  test: Dataset,
  original?: Standing,
): Promise<Standing> {
  const final = model.clone();
  if (isPruned(final)) await remove(final);
  await save(final, file);
  const opened = await open(file);
  const [[right = new Float64Array()] = []] = await measure(engine, [opened], test, [metric]);
  const comparison = compareRows(metric, original?.right ?? right, right);
  const bytes = await readFile(file);
  const forOne = opened.clone();
  fixInputs(
    forOne,
    Object.fromEntries(
      forOne.graph.feeds.map(({ name, type }) => [name, [1, ...(fixedDims(type?.dims?.slice(1)) ?? [])]]),
    ),
  );
  const inference = infer(forOne);
  const { macs } = cost(forOne, inference);
  const measured: Measured = {
    name: basename(file),
    sha256: createHash("sha256").update(bytes).digest("hex"),
    ...(await size(file)),
    parameters: learnedCount(await learnedTensors(forOne, inference)),
    macs: typeof macs === "number" ? macs : undefined,
    estimate: comparison.candidate,
  };
  return { file, model: opened, measured, comparison, right };
}
