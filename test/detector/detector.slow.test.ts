/** Tests that a recipe judges a detector by its detections. */
import { writeFileSync } from "node:fs";
import { join } from "node:path";
import { expect, test } from "vitest";
import { pith } from "../cli/run.ts";
import { temporaryFolder } from "../temporary.ts";
import { detectorFile, drawShapes, writeShapes } from "./shapes.ts";

test("rejects a detector that has lost its scores by a recipe", async () => {
  const folder = temporaryFolder();
  const at = (name: string): string => join(folder, name);
  writeShapes(at("shapes.npz"), drawShapes(100, 7), { labelled: false });
  writeFileSync(at("recipe.yaml"), "version: 1\nsteps:\n  - prune: { amount: 95%, layers: [head.cls*] }\n");
  const words = ["compress", detectorFile, "--recipe", at("recipe.yaml"), "--data", at("shapes.npz"), "-o", at("out")];
  const { code, err } = await pith(...words);
  expect(err).toMatch(/^E_ACCURACY_LOST: Agreement went from 100\.0 % to \d\.\d %/m);
  expect(code).toBe(1);
});
