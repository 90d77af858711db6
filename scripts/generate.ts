/**
 * `npm run generate` brings all generated pages and snapshots up to date; with `--check` it writes nothing and fails if one is not.
 * A generator returns the text of each of its files. A folder that a generator owns holds nothing else: what is not generated there
 * any more is removed.
 */
import { existsSync, mkdirSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import path from "node:path";
import { fileURLToPath } from "node:url";
import { benchmarkPage } from "./generate/benchmarks.ts";
import { commandPage } from "./generate/command-page.ts";
import { commandList } from "./generate/commands.ts";
import { firstDifference } from "./generate/difference.ts";
import { errorPage } from "./generate/errors.ts";
import type { Generator } from "./generate/generator.ts";
import { kernels } from "./generate/kernels.ts";
import { layerImports } from "./generate/layers.ts";
import { operatorPage } from "./generate/operators.ts";
import { realModelsPage } from "./generate/real-models.ts";
import { recipeSchemaPage } from "./generate/recipe-schema.ts";
import { skill } from "./generate/skill.ts";
import { surface } from "./generate/surface.ts";

const generators: readonly Generator[] = [
  benchmarkPage,
  commandList,
  commandPage,
  errorPage,
  kernels,
  layerImports,
  operatorPage,
  realModelsPage,
  recipeSchemaPage,
  skill,
  surface,
];

process.chdir(fileURLToPath(new URL("..", import.meta.url)));
const checking = process.argv.includes("--check");
const say = (text: string): void => void process.stdout.write(`${text}\n`);
let stale = 0;

for (const generator of generators) {
  const files = await generator.generate();
  for (const [file, text] of files) {
    const before = existsSync(file) ? readFileSync(file, "utf8") : undefined;
    if (before === text) continue;
    stale += 1;
    if (checking) {
      say(`${file}: ${before === undefined ? "missing" : firstDifference(before, text)}`);
      continue;
    }
    mkdirSync(path.dirname(file), { recursive: true });
    writeFileSync(file, text);
    say(`${before === undefined ? "new     " : "changed "} ${file}`);
  }
  if (generator.folder === undefined || !existsSync(generator.folder)) continue;
  for (const name of readdirSync(generator.folder)) {
    const file = `${generator.folder}/${name}`;
    if (files.has(file)) continue;
    stale += 1;
    if (checking) say(`${file}: no longer generated`);
    else rmSync(file);
  }
}

if (checking && stale > 0) say("\nRun npm run generate, read the difference, and commit it.");
process.exitCode = checking && stale > 0 ? 1 : 0;
