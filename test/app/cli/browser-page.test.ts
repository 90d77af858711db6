/** The page in which `--target wasm` and `webgpu` run models: a browser cannot load packages by their names. */
import { fileURLToPath } from "node:url";
import { build } from "esbuild";
import { expect, test } from "vitest";

const root = fileURLToPath(new URL("../../..", import.meta.url));

test("loads no package before it runs models, except the runtime and valibot, which the page maps to files", async () => {
  const { metafile } = await build({
    ...{ absWorkingDir: root, entryPoints: ["src/app/cli/browser/page.ts"], conditions: ["pith-source"] },
    ...{ bundle: true, write: false, metafile: true, splitting: true, outdir: "out" },
    ...{ format: "esm", platform: "browser", packages: "external", logLevel: "silent" },
  });
  const outputs = Object.entries(metafile.outputs);
  const loaded = new Set(outputs.flatMap(([path, { entryPoint }]) => (entryPoint?.endsWith("page.ts") ? [path] : [])));
  const packages = new Set<string>();
  for (const path of loaded)
    for (const { path: imported, kind, external } of metafile.outputs[path]?.imports ?? []) {
      if (kind !== "import-statement") continue;
      if (external === true) packages.add(imported);
      else loaded.add(imported);
    }
  expect([...packages].filter((name) => name !== "valibot" && !name.startsWith("onnxruntime-web"))).toEqual([]);
});
