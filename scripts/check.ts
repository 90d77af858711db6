/**
 * `npm run check:fast`, before every commit: types, lint and format, the table of imports, cycles, Node-only modules, operator names,
 * words of comments and names, sizes.
 * `npm run check` adds the checks that need a build or the whole program: package validity, unused code, generated pages and the public surface.
 */
import { readFileSync } from "node:fs";
import { fileURLToPath } from "node:url";
import { checkBudgets, measureFlags, measureSources, readSurface } from "./check/budgets.ts";
import { checkDoubleCasts } from "./check/double-casts.ts";
import { checkImportCycles } from "./check/import-cycles.ts";
import { checkImportTable, type Layers } from "./check/import-table.ts";
import { checkLanguage } from "./check/language.ts";
import { checkLostProperties } from "./check/lost-properties.ts";
import { checkNamesInComments } from "./check/names-in-comments.ts";
import { checkOperatorNames, operatorsOf } from "./check/operator-names.ts";
import { checkChangelog, checkPackageSize } from "./check/release.ts";
import { checkRemovals } from "./check/removals.ts";
import { command, findings, type Outcome, report, timed } from "./check/run.ts";
import { readSources } from "./check/sources.ts";
import { measureTests } from "./check/test-seconds.ts";

const root = fileURLToPath(new URL("..", import.meta.url));
process.chdir(root);

const budgets = "scripts/budgets.json";

/** Runs the source checks one after the other, in parallel with the two commands, which keeps two cores busy. */
async function fast(): Promise<Outcome[]> {
  const types = command(
    "types",
    "node_modules/.bin/tsc",
    ...["-p", "tsconfig.json", "--incremental", "--tsBuildInfoFile", "node_modules/.cache/pith/tsc.tsbuildinfo"],
  );
  const studioTypes = command("types of the studio", "node_modules/.bin/tsc", "-p", "studio/tsconfig.json");
  const lint = command(
    "lint and format",
    "node_modules/.bin/biome",
    "ci",
    "--colors=off",
    "--max-diagnostics=50",
    "--error-on-warnings",
  );
  const layers: Layers = JSON.parse(readFileSync("scripts/layers.json", "utf8"));
  const sources = readSources(".");
  const sourceChecks = [
    findings("imports follow scripts/layers.json; Node built-ins in their folders", () =>
      checkImportTable(sources, layers),
    ),
    findings("no import cycles", () => checkImportCycles(sources)),
    findings("no operator names but in ops, graph, onnx", () =>
      checkOperatorNames(sources, operatorsOf(sources), layers),
    ),
    findings("no casts through unknown", () => checkDoubleCasts(sources)),
    findings("files and names in comments exist", () => checkNamesInComments(sources)),
    findings("comments are statements, names are nouns, functions start with a verb", () => checkLanguage(sources)),
    findings("only folders that were made may be removed", () => checkRemovals(sources)),
    findings("sizes are within scripts/budgets.json", () =>
      checkBudgets(readFileSync(budgets, "utf8"), measureSources(sources, readSurface())),
    ),
    problem("the changelog begins with unreleased changes or the version", async () =>
      checkChangelog(readFileSync("CHANGELOG.md", "utf8"), JSON.parse(readFileSync("package.json", "utf8")).version),
    ),
  ];
  return Promise.all([types, studioTypes, lint, ...sourceChecks]);
}

/** Runs a check that returns what is wrong, or undefined. */
function problem(name: string, find: () => Promise<string | undefined>): Promise<Outcome> {
  return timed(name, async () => {
    const output = await find();
    return { passed: output === undefined, output: output ?? "" };
  });
}

async function packageProblem(): Promise<string | undefined> {
  const published = await command("publish", "npm", "publish", "--dry-run", "--json", "--ignore-scripts", "--silent");
  return published.passed ? checkPackageSize(published.output) : published.output;
}

/** The package checks read the build, so they wait for it. */
async function thorough(): Promise<Outcome[]> {
  const flags = findings("flags of commands and seconds of tests are within scripts/budgets.json", async () => {
    const { measured, unrecorded } = measureTests(readSources("."));
    return [...checkBudgets(readFileSync(budgets, "utf8"), [await measureFlags(), measured]), ...unrecorded];
  });
  const lost = findings("literals with a spread have only properties of their type", () =>
    ["tsconfig.build.json", "studio/tsconfig.json"].flatMap(checkLostProperties),
  );
  const npm = (name: string, ...options: readonly string[]) => command(name, "npm", "--silent", ...options);
  const generated = npm("generated pages and public surface are up to date", "run", "generate", "--", "--check");
  const build = await npm("build", "run", "build");
  const unused = command("no unused code", "node_modules/.bin/knip");
  const outcomes = [build];
  if (build.passed) {
    outcomes.push(
      await command("package.json is valid (publint)", "node_modules/.bin/publint", "--strict"),
      await command("types resolve (attw)", "node_modules/.bin/attw", "--profile", "esm-only", "--pack", "."),
      await problem("the package can be published, and is small", packageProblem),
    );
  }
  return [...outcomes, await unused, await generated, await flags, await lost];
}

const outcomes = await fast();
if (!process.argv.includes("--fast")) outcomes.push(...(await thorough()));
process.exitCode = report(outcomes) ? 0 : 1;
