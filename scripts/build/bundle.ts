/**
 * What is shipped: the entries of the package, and everything else in chunks that they share. A command starts two processes, and loading hundreds of
 * modules one by one took each twice as long.
 *
 * All entries are built together, so that a class is there once, whoever imports it. What differs between Node and browsers stays an import of
 * package.json, as does the address of the modules.
 */
import { existsSync, readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { build } from "esbuild";

/** @param more further entries, below `src` and without extension, that tests look into. */
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
}

/** What is started in a process, a thread or a page of its own. */
const started = [
  "app/cli/main",
  "app/cli/browser/page",
  "runtime/job/child",
  "core/platform/thread-entry",
  "data/prefetch/preparing",
];

/** What package.json hands out under the condition of the sources. */
function publicEntries(root: string): readonly string[] {
  const { exports, imports } = JSON.parse(readFileSync(join(root, "package.json"), "utf8"));
  const text = JSON.stringify([exports, imports]);
  return [...text.matchAll(/"\.\/src\/([^"]+)\.ts"/g)].map(([, name = ""]) => name);
}

function jobs(sources: string): readonly string[] {
  const folder = join(sources, "app/cli/jobs");
  return readdirSync(folder)
    .filter((file) => /^export default /m.test(readFileSync(join(folder, file), "utf8")))
    .map((file) => `app/cli/jobs/${file.replace(/\.ts$/, "")}`);
}
