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

/** A file that was saved and opened again, with its answers to the test samples. */
export type Tested = Pick<Standing, "file" | "model" | "comparison" | "right">;

/** Saves a model, its masks folded in, and runs the file; beside `original`, if there is one yet. */
export async function saveAndTest(
  engine: Engine,
  model: Model,
  file: string,
  test: Dataset,
  original?: Tested,
): Promise<Tested> {
  const final = model.clone();
  if (isPruned(final)) await remove(final);
  await save(final, file);
  const opened = await open(file);
  const [[right = new Float64Array()] = []] = await measure(engine, [opened], test, [metric]);
  return { file, model: opened, comparison: compareRows(metric, original?.right ?? right, right), right };
}

/** Measures the size and the cost of a file. Other work can run meanwhile. */
export async function measureFile(tested: Tested): Promise<Standing> {
  const { file, model: opened, comparison } = tested;
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
  return { ...tested, measured };
}
