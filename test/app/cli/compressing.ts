/** `pith compress` of a small model into folders of its own. */
import { readdirSync, readFileSync, writeFileSync } from "node:fs";
import { pith, type Ran } from "./run.ts";

/** The files of a result, and those of a run that was rejected. */
export const results = ["model.onnx", "report.html", "report.md", "run.json", "recipe.yaml"];
export const reports = ["report.html", "report.md", "run.json"];

/** In a folder of results, beside the steps that are kept there. */
export const filesIn = (out: string): readonly string[] =>
  readdirSync(out)
    .filter((name) => name !== "pith-steps")
    .toSorted();

export const textOf = (path: string): string => readFileSync(path, "utf8");

/** On the models of small-models.ts, which lie where `at` says. */
export function compressing(at: (name: string) => string) {
  const recipe = at("steps.yaml");
  let folders = 0;
  const run = (out: string, amount: number, ...more: string[]): Promise<Ran> => {
    writeFileSync(recipe, `steps:\n  - prune: { amount: ${amount} }\n`);
    return pith("compress", at("mixed.onnx"), "--data", at("points.csv"), "-r", recipe, ...more, "-o", out);
  };
  return {
    recipe,
    folder: (): string => at(`out${folders++}`),
    compress: (out: string, amount = 0.25): Promise<Ran> => run(out, amount, "--force"),
    reject: (out: string): Promise<Ran> => run(out, 1),
  };
}
