/**
 * Bundles the package: its entries, and everything else in chunks that they share. A command starts two processes, and loading hundreds of
 * separate modules doubled the start time of each.
 *
 * All entries are built together, so that a class exists only once, no matter which entry imports it. Modules that differ between Node and browsers remain
 * imports of package.json, as does the address of the modules.
 */
import { copyFileSync, existsSync, readdirSync, readFileSync } from "node:fs";
import { isAbsolute, join } from "node:path";
import { type OutputChunk, rolldown } from "rolldown";
import { doorModules, doors, isDoor, studioDoor } from "./doors.ts";
import { mergeChunks } from "./merge-chunks.ts";

/** Modules of the package yaml, which is bundled: its 72 CommonJS modules took 50 ms in each process of a command. */
const yamlModules = "node_modules/yaml/browser/dist";

/** Functions keep their names, which adds 8 % to the size: without them, nobody can read the stack trace of an error report. */
const keepNames = { function: true, class: false };

/** @param more further entries for tests, relative to `src` and without extension. */
export async function bundle(root: string, outdir: string, more: readonly string[] = []): Promise<void> {
  const sources = join(root, "src");
  const names = new Set([...publicEntries(root), ...jobs(sources), ...started, ...more]);
  const input = Object.fromEntries([...names].map((name) => [name, join(sources, `${name}.ts`)]));
  const missing = Object.values(input).find((path) => !existsSync(path));
  if (missing !== undefined) throw new Error(`There is no ${missing} to build.`);
  const build = await rolldown({
    cwd: root,
    input,
    // Rolldown brings the helpers of oxc, with which it lowers syntax.
    external: (name) => isPackage(name) && !name.startsWith("@oxc-project/") && name !== "yaml",
    resolve: { alias: { yaml: join(root, yamlModules, "index.js"), ...doors(sources, ".ts") } },
    // With "node", the helpers import node:module, which browsers lack.
    platform: "neutral",
    tsconfig: false,
    preserveEntrySignatures: "allow-extension",
    transform: { target: "node20" },
    // A dynamic import of a module that another module imports statically is intended: only one of the two can be needed.
    checks: { ineffectiveDynamicImport: false },
  });
  const options = {
    dir: outdir,
    format: "es",
    entryFileNames: "[name].js",
    chunkFileNames: "chunks/[hash].js",
    minify: { mangle: { keepNames }, compress: { keepNames }, codegen: { removeWhitespace: true } },
  } as const;
  const { output } = await build.generate(options);
  const chunks = output.filter((file): file is OutputChunk => file.type === "chunk");
  const groups = mergeChunks(chunks);
  await build.write({
    ...options,
    codeSplitting: {
      groups: [
        {
          name: (id) => groups.get(id) ?? null,
          debugName: "shared chunks",
          test: (id) => groups.has(id),
          includeDependenciesRecursively: false,
        },
      ],
    },
  });
  await build.close();
  copyFileSync(join(root, "node_modules/yaml/LICENSE"), join(outdir, "chunks/yaml.license.txt"));
}

/** Returns whether an import names a package, or an import of package.json. */
export function isPackage(name: string): boolean {
  return /^[^.\0]/.test(name) && !isAbsolute(name) && !isDoor(name);
}

/** Entries that start in a separate process, thread or page, and the door of the studio. */
const started = [
  "app/cli/main",
  "app/cli/browser/page",
  "runtime/job/any-job",
  "core/platform/thread-entry",
  "data/prefetch/preparing",
  studioDoor,
];

/** Returns the source entries that package.json exports and imports, without extension. */
export function publicEntries(root: string): readonly string[] {
  const { exports, imports } = JSON.parse(readFileSync(join(root, "package.json"), "utf8"));
  const text = JSON.stringify([exports, imports]);
  return [...text.matchAll(/"\.\/src\/([^"]+)\.ts"/g)].flatMap(([, name = ""]) =>
    doorModules.includes(name) ? [] : [name],
  );
}

function jobs(sources: string): readonly string[] {
  return ["app/cli/jobs", "app/cli/processes"].flatMap((folder) =>
    readdirSync(join(sources, folder))
      .filter((file) => /^[^.]+\.ts$/.test(file))
      .map((file) => `${folder}/${file.replace(/\.ts$/, "")}`),
  );
}
