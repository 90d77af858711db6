/**
 * Compiles the command line once for all tests of all projects, as users run it. It starts in half the time of the sources, which matters because
 * every command starts a process.
 */
import { mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { build, type PluginBuild } from "esbuild";
import type { TestProject } from "vitest/node";
import { bundle } from "../../scripts/build/bundle.ts";
import { doors } from "../../scripts/build/doors.ts";

declare module "vitest" {
  interface ProvidedContext {
    /** Folder of the compiled sources. */
    compiled: string;
  }
}

/** Modules that tests import in addition to the entries. */
const looked = [
  ...[
    "app/cli/program",
    "data/prefetch/feed",
    "data/prefetch/workers",
    "core/errors",
    "core/engine/observed-runs",
    "runtime/job/run",
    "runtime/run/runner",
  ],
  "app/cli/studio/session-process",
  ...["data/sidecars/preprocessing-spec", "data/sidecars/sidecars"],
];
/** Jobs of tests, compiled into `jobs/`. */
const jobs = ["behave", "never"];

/** Modules whose classes and state the jobs of tests share with the compiled sources. */
const sharedModules = {
  name: "shared",
  setup({ onResolve }: PluginBuild) {
    onResolve({ filter: /src\/core\/errors/ }, () => ({ path: "../core/errors.js", external: true }));
    onResolve({ filter: /\/observed-runs/ }, () => ({ path: "../core/engine/observed-runs.js", external: true }));
  },
};

const root = fileURLToPath(new URL("../../", import.meta.url));

/** Each project loads this module again in the same process. */
const started = Symbol.for("pith: compiled sources");

export default async function provideCompiled({ provide }: TestProject): Promise<() => void> {
  const compiling: Promise<string> = Reflect.get(globalThis, started) ?? compile();
  Reflect.set(globalThis, started, compiling);
  const folder = await compiling;
  provide("compiled", join(folder, "dist"));
  return () => rmSync(folder, { recursive: true, force: true });
}

/** Returns the folder of a package with the compiled sources. */
async function compile(): Promise<string> {
  const cache = join(root, "node_modules/.cache/pith");
  mkdirSync(cache, { recursive: true });
  const folder = mkdtempSync(join(cache, "compiled-"));
  const manifest = JSON.parse(readFileSync(join(root, "package.json"), "utf8"));
  // The tests run under the condition that resolves to the sources.
  for (const places of [manifest.imports, manifest.exports])
    for (const place of Object.values<Record<string, unknown>>(places)) delete place["pith-source"];
  writeFileSync(join(folder, "package.json"), JSON.stringify(manifest));
  const dist = join(folder, "dist");
  await bundle(root, dist, looked);
  await build({
    entryPoints: jobs.map((name) => join(root, `test/app/cli/jobs/${name}.ts`)),
    outdir: join(dist, "jobs"),
    bundle: true,
    external: ["#platform", "#root", "#onnxruntime"],
    alias: doors(join(root, "src"), ".ts"),
    format: "esm",
    platform: "node",
    plugins: [sharedModules],
  });
  return folder;
}
