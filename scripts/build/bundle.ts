/**
 * Bundles the package: its entries, and everything else in chunks that they share. A command starts two processes, and loading hundreds of
 * separate modules doubled the start time of each.
 *
 * All entries are built together, so that a class exists only once, no matter which entry imports it. Modules that differ between Node and browsers remain
 * imports of package.json, as does the address of the modules.
 */
import { existsSync, readdirSync, readFileSync, writeFileSync } from "node:fs";
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
  await bundleJobs(root, outdir);
}

/**
 * Bundles all jobs of the command line and their dependencies into one file. Each module is evaluated when a job imports it; separate dependencies would
 * all be loaded at the start. Optional packages remain imports.
 */
async function bundleJobs(root: string, outdir: string): Promise<void> {
  const sources = join(root, "src");
  const { peerDependencies, optionalDependencies } = packageOf(root);
  const table = jobs(sources).map((name) => `${JSON.stringify(`${name}.js`)}: () => import("./${name}.ts"),`);
  const contents = `
import { root } from "#root";
import { serveJob } from "./runtime/job/child.ts";
const jobs = {\n${table.join("\n")}\n};
serveJob((address) => jobs[address.slice(root().href.length)]());`;
  const { metafile } = await build({
    stdin: { contents, resolveDir: sources, sourcefile: "jobs.ts", loader: "ts" },
    outfile: join(outdir, "app/cli/jobs.js"),
    bundle: true,
    external: ["#root", "#onnxruntime", ...Object.keys({ ...peerDependencies, ...optionalDependencies })],
    conditions: ["pith-source"],
    // CommonJS dependencies call `require` for modules of Node.
    banner: {
      js: 'import { createRequire as requireFrom } from "node:module"; const require = requireFrom(import.meta.url);',
    },
    metafile: true,
    minify: true,
    keepNames: true,
    format: "esm",
    platform: "node",
    target: "node20",
    logLevel: "warning",
  });
  writeFileSync(join(outdir, "app/cli/jobs.licenses.txt"), licensesOf(root, Object.keys(metafile.inputs)));
}

/** Returns the names and licenses of the packages that files come from. */
function licensesOf(root: string, files: readonly string[]): string {
  const names = new Set(files.flatMap((file) => /node_modules\/((?:@[^/]+\/)?[^/]+)/.exec(file)?.[1] ?? []));
  return [...names]
    .toSorted()
    .map((name) => {
      const folder = join(root, "node_modules", name);
      const file = readdirSync(folder).find((entry) => /^licen[cs]e/i.test(entry));
      if (file === undefined) throw new Error(`${name} has no license file.`);
      return `${name}\n\n${readFileSync(join(folder, file), "utf8")}`;
    })
    .join("\n\n");
}

/** Entries that start in a separate process, thread or page. */
const started = [
  "app/cli/main",
  "app/cli/browser/page",
  "runtime/job/any-job",
  "core/platform/thread-entry",
  "data/prefetch/preparing",
];

function packageOf(root: string) {
  return JSON.parse(readFileSync(join(root, "package.json"), "utf8"));
}

/** Returns the source entries that package.json exports and imports, without extension. */
function publicEntries(root: string): readonly string[] {
  const { exports, imports } = packageOf(root);
  const text = JSON.stringify([exports, imports]);
  return [...text.matchAll(/"\.\/src\/([^"]+)\.ts"/g)].map(([, name = ""]) => name);
}

function jobs(sources: string): readonly string[] {
  const folder = join(sources, "app/cli/jobs");
  return readdirSync(folder)
    .filter((file) => !file.endsWith(".test.ts"))
    .map((file) => `app/cli/jobs/${file.replace(/\.ts$/, "")}`);
}
