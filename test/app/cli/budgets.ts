/** Budgets of small models. */
import { mkdirSync, writeFileSync } from "node:fs";
import { dirname } from "node:path";
import { smallModels } from "./small-models.ts";

/** Writes lists of budgets for small models. */
export function budgetsOfSmallModels() {
  const { at } = smallModels();

  /** Writes budgets next to the models. @returns the path of the file. */
  function write(text: string, name = "pith.check.yaml"): string {
    const path = at(name);
    mkdirSync(dirname(path), { recursive: true });
    writeFileSync(path, text);
    return path;
  }

  const writeEntry = (budgets: string): string => write(`models:\n  - { ${budgets} }\n`);
  return { at, write, writeEntry };
}
