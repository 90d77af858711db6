/**
 * The command line, compiled once for all tests: as users run it, and started in half the time that its sources take, which counts where
 * every command starts a process.
 */
import { mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { build, type Plugin } from "esbuild";
import type { TestProject } from "vitest/node";

declare module "vitest" {
  interface ProvidedContext {
    /** Where the compiled sources lie. */
    compiled: string;
  }
}

const root = fileURLToPath(new URL("../../", import.meta.url));

/** Each file by itself, its imports as they are but for the ending. */
const fileByFile: Plugin = {
  name: "file by file",
  setup: ({ onResolve }) =>
    onResolve({ filter: /./ }, ({ kind, path }) =>
      kind === "entry-point" ? undefined : { path: path.replace(/(?<=^\.\.?\/.*)\.ts$/, ".js"), external: true },
    ),
};

export default async function compile({ provide }: TestProject): Promise<() => void> {
  const cache = join(root, "node_modules/.cache/pith");
  mkdirSync(cache, { recursive: true });
  const folder = mkdtempSync(join(cache, "compiled-"));
  const manifest = JSON.parse(readFileSync(join(root, "package.json"), "utf8"));
  // The tests run under the condition that leads to the sources.
  delete manifest.imports["#platform"]["pith-source"];
  writeFileSync(join(folder, "package.json"), JSON.stringify(manifest));
  const sources = readdirSync(join(root, "src"), { recursive: true, encoding: "utf8" });
  await build({
    entryPoints: sources
      .filter((file) => /(?<!\.(test|examples))\.ts$/.test(file))
      .map((file) => join(root, "src", file)),
    outbase: join(root, "src"),
    outdir: join(folder, "dist"),
    bundle: true,
    format: "esm",
    platform: "node",
    target: "node20",
    logLevel: "warning",
    plugins: [fileByFile],
  });
  provide("compiled", join(folder, "dist"));
  return () => rmSync(folder, { recursive: true, force: true });
}
