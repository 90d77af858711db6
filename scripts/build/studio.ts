/** Builds what `pith studio` serves: the page, and the module that runs Pith for it. The page needs no WebAssembly, because the native runtime computes. */
import { join } from "node:path";
import { build, type Plugin } from "esbuild";
import { build as buildPage } from "vite";
import { studioDoor } from "./doors.ts";

/** The session runs inside the package, so it shares the classes of the built modules. */
const builtDoor: Plugin = {
  name: "built-door",
  setup({ onResolve }) {
    const filter = new RegExp(`/src/${studioDoor}\\.ts$`);
    onResolve({ filter }, () => ({ path: `../${studioDoor}.js`, external: true }));
  },
};

export async function buildStudio(root: string, outdir: string): Promise<void> {
  const { NODE_ENV } = process.env;
  // The test runner sets another value, which would build the page for development.
  process.env.NODE_ENV = "production";
  await buildPage({
    configFile: join(root, "studio/vite.config.ts"),
    mode: "served",
    logLevel: "error",
    build: { outDir: join(outdir, "page"), emptyOutDir: true },
  });
  if (NODE_ENV !== undefined) process.env.NODE_ENV = NODE_ENV;
  await build({
    entryPoints: [join(root, "studio/src/session/local.ts")],
    outfile: join(outdir, "session.js"),
    bundle: true,
    packages: "external",
    plugins: [builtDoor],
    minifyWhitespace: true,
    minifySyntax: true,
    lineLimit: 200,
    format: "esm",
    platform: "node",
    target: "node20",
    logLevel: "warning",
  });
}
