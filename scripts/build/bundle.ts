/**
 * Bundles the package: its entries, and everything else in chunks that they share. A command starts two processes, and loading hundreds of
 * separate modules doubled the start time of each.
 *
 * All entries are built together, so that a class exists only once, no matter which entry imports it. Modules that differ between Node and browsers remain
 * imports of package.json, as does the address of the modules.
 */
import { existsSync, readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { build } from "esbuild";

/** @param more further entries for tests, relative to `src` and without extension. */
export async function bundle(root: string, outdir: string, more: readonly string[] = []): Promise<void> {
  const sources = join(root, "src");
  const named = [...publicEntries(root), ...jobs(sources), ...started, ...more].map((name) =>
    join(sources, `${name}.ts`),
  );
  const missing = named.find((path) => !existsSync(path));
  if (missing !== undefined) throw new Error(`There is no ${missing} to build.`);
  await build({
    entryPoints: [...new Set(named)],
    outbase: sources,
    outdir,
    chunkNames: "chunks/[hash]",
    bundle: true,
    splitting: true,
    packages: "external",
    external: ["#*"],
    format: "esm",
    platform: "node",
    target: "node20",
    logLevel: "warning",
  });
  await bundleJobs(sources, outdir);
}

/** Bundles all jobs of the command line into one file. Each is evaluated when it is imported. */
async function bundleJobs(sources: string, outdir: string): Promise<void> {
  const table = jobs(sources).map((name) => `${JSON.stringify(`${name}.js`)}: () => import("./${name}.ts"),`);
  const contents = `
import { root } from "#root";
import { serveJob } from "./runtime/job/child.ts";
const jobs = {\n${table.join("\n")}\n};
serveJob((address) => jobs[address.slice(root().href.length)]());`;
  await build({
    stdin: { contents, resolveDir: sources, sourcefile: "jobs.ts", loader: "ts" },
    outfile: join(outdir, "app/cli/jobs.js"),
    bundle: true,
    packages: "external",
    external: ["#root", "#onnxruntime"],
    conditions: ["pith-source"],
    minify: true,
    keepNames: true,
    format: "esm",
    platform: "node",
    target: "node20",
    logLevel: "warning",
  });
}

/** Entries that start in a separate process, thread or page. */
const started = [
  "app/cli/main",
  "app/cli/browser/page",
  "runtime/job/any-job",
  "core/platform/thread-entry",
  "data/prefetch/preparing",
];

/** Returns the source entries that package.json exports and imports, without extension. */
function publicEntries(root: string): readonly string[] {
  const { exports, imports } = JSON.parse(readFileSync(join(root, "package.json"), "utf8"));
  const text = JSON.stringify([exports, imports]);
  return [...text.matchAll(/"\.\/src\/([^"]+)\.ts"/g)].map(([, name = ""]) => name);
}

function jobs(sources: string): readonly string[] {
  const folder = join(sources, "app/cli/jobs");
  return readdirSync(folder)
    .filter((file) => !file.endsWith(".test.ts"))
    .map((file) => `app/cli/jobs/${file.replace(/\.ts$/, "")}`);
}
