/**
 * Writes the declarations of the public entries, with those of all other modules in chunks that they share. Most modules are not public, and a declaration
 * file for each would be half of the package.
 */
import { spawnSync } from "node:child_process";
import { mkdtempSync, rmSync } from "node:fs";
import { dirname, join } from "node:path";
import { type Plugin, rollup } from "rollup";
import { dts } from "rollup-plugin-dts";
import { isPackage, publicEntries } from "./bundle.ts";
import { doors } from "./doors.ts";

/** Resolves imports between declarations, because these still name the source files (`.ts`). */
const declarationPaths = (modules: string): Plugin => ({
  name: "declaration-paths",
  resolveId: (path, importer) =>
    importer === undefined || !/^\.{1,2}\/.*(?<!\.d)\.ts$/.test(path)
      ? doors(modules, ".d.ts")[path]
      : join(dirname(importer), path.replace(/\.ts$/, ".d.ts")),
});

/** @returns whether the sources have no type errors. */
export async function writeDeclarations(root: string, outdir: string): Promise<boolean> {
  // Within the package, because the declarations of Node and of dependencies are found from there.
  const modules = mkdtempSync(join(root, "node_modules/.declarations-"));
  try {
    const compiler = join(root, "node_modules/typescript/bin/tsc");
    const compile = [compiler, "-p", join(root, "tsconfig.build.json"), "--outDir", modules];
    if (spawnSync(process.execPath, compile, { stdio: "inherit" }).status !== 0) return false;
    const build = await rollup({
      // Warnings name types that only other declarations use.
      logLevel: "silent",
      input: Object.fromEntries(publicEntries(root).map((name) => [name, join(modules, `${name}.d.ts`)])),
      external: isPackage,
      plugins: [declarationPaths(modules), dts()],
    });
    await build.write({ dir: outdir, entryFileNames: "[name].d.ts", chunkFileNames: "types/[hash].d.ts" });
    await build.close();
    return true;
  } finally {
    rmSync(modules, { recursive: true, force: true });
  }
}
