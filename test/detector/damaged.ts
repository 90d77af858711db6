/** The detector, its samples, and a copy without most of its scores. */
import { copyFileSync } from "node:fs";
import { join } from "node:path";
import { beforeAll } from "vitest";
import { pith } from "../app/cli/run.ts";
import { temporaryFolder } from "../temporary.ts";
import { detectorFile, drawShapes, writeShapes } from "./shapes.ts";

/** The branch that computes the scores, without most of its weights. */
export const pruning = ["--amount", "95%", "--layers", "head.cls*"];

/** Writes them into a folder of the test file. */
export function damagedDetector() {
  const folder = temporaryFolder();
  const at = (name: string): string => join(folder, name);
  const model = at("shapes.onnx");
  const data = ["--data", at("shapes.npz")];

  beforeAll(async () => {
    copyFileSync(detectorFile, model);
    await writeShapes(at("shapes.npz"), drawShapes(100, 7), { labelled: false });
    await writeShapes(at("labelled.npz"), drawShapes(100, 7), { labelled: true });
    const { code, err } = await pith("prune", model, ...pruning, "--force", "-o", at("pruned.onnx"));
    if (code !== 0) throw new Error(err);
  });
  return { at, model, data };
}
