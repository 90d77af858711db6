/**
 * Builds the page to static files in `dist`. The start view is rendered into index.html, so that it appears before any script has run. With
 * `--mode served`, the page calls the server of `pith studio`: it needs no worker, no WebAssembly runtime and no service worker.
 */
import { createHash } from "node:crypto";
import { cpSync, readdirSync, readFileSync, statSync } from "node:fs";
import { createRequire } from "node:module";
import { dirname, join, relative, resolve } from "node:path";
import { fileURLToPath } from "node:url";
import { build, defineConfig, type Plugin } from "vite";

const root = dirname(fileURLToPath(import.meta.url));
const runtime = dirname(createRequire(import.meta.url).resolve("onnxruntime-web"));
/** The runtime for WebAssembly, and the one for WebGPU. */
const runtimeFiles = ["", ".asyncify"].flatMap((kind) =>
  ["wasm", "mjs"].map((extension) => `ort-wasm-simd-threaded${kind}.${extension}`),
);
/** This file has 27 MB and is needed on request only, so it is not stored for use without a network. */
const onlineFile = "ort/ort-wasm-simd-threaded.asyncify.wasm";
const conditions = ["pith-source", "onnxruntime-web-use-extern-wasm", "module", "browser", "development|production"];
const jsx = { jsx: { runtime: "automatic", importSource: "preact" } } as const;

/** Copies the runtime as it is, because its threads start from its own file. */
function copyRuntime(): Plugin {
  let folder = "";
  return {
    name: "copy-runtime",
    apply: "build",
    configResolved({ build: { outDir } }) {
      folder = resolve(root, outDir, "ort");
    },
    closeBundle() {
      for (const name of runtimeFiles) cpSync(join(runtime, name), join(folder, name));
    },
  };
}

/** Files above this size, and the examples, are stored after the page has loaded, not before it can be used offline. */
const largeBytes = 1e6;

/** Builds the service worker, which knows the names of all other files. */
function offline(): Plugin {
  let folder = "";
  return {
    name: "offline",
    apply: "build",
    configResolved({ build: { outDir } }) {
      folder = resolve(root, outDir);
    },
    closeBundle: {
      order: "post",
      sequential: true,
      async handler() {
        const files = readdirSync(folder, { recursive: true, withFileTypes: true })
          .filter((entry) => entry.isFile())
          .map(({ parentPath, name }) => relative(folder, join(parentPath, name)).replaceAll("\\", "/"))
          .filter((name) => ![onlineFile, "service-worker.js"].includes(name))
          .sort();
        const version = createHash("sha256");
        for (const name of files) version.update(name).update(readFileSync(join(folder, name)));
        const isLarge = (name: string): boolean =>
          name.startsWith("examples/") || statSync(join(folder, name)).size > largeBytes;
        const pageFiles = files.filter((name) => !isLarge(name)).map((name) => (name === "index.html" ? "" : name));
        await build({
          root,
          configFile: false,
          logLevel: "error",
          define: {
            pageFiles: JSON.stringify(pageFiles),
            largeFiles: JSON.stringify(files.filter(isLarge)),
            version: JSON.stringify(version.digest("hex").slice(0, 16)),
          },
          build: {
            outDir: folder,
            emptyOutDir: false,
            lib: {
              entry: join(root, "src/offline/service-worker.ts"),
              formats: ["iife"],
              name: "worker",
              fileName: () => "service-worker.js",
            },
          },
        });
      },
    },
  };
}

/** Builds a module for Node, and returns its exports. */
async function importBuilt(entry: string, mode: string, external: RegExp): Promise<Record<string, string>> {
  const output = await build({
    root,
    mode,
    configFile: false,
    logLevel: "error",
    oxc: jsx,
    resolve: { conditions },
    build: { ssr: join(root, entry), write: false, emptyOutDir: false, rolldownOptions: { external } },
    ssr: { noExternal: true, resolve: { conditions } },
  });
  const [{ output: chunks = [] } = {}] = [output].flat() as { output?: readonly { code?: string }[] }[];
  return import(`data:text/javascript,${encodeURIComponent(chunks[0]?.code ?? "")}`);
}

function prerender(mode: string): Plugin {
  return {
    name: "prerender",
    apply: "build",
    async transformIndexHtml(html) {
      // The start view needs only the texts of numbers from Pith.
      const { startView = "" } = await importBuilt("src/prerender.tsx", mode, /^pith|\/app\/report\//);
      return html.replace("<!--start-->", startView);
    },
  };
}

/** Gives the page the style of reports, so that what both show looks the same. */
function reportStyle(mode: string): Plugin {
  const name = "virtual:report-style.css";
  return {
    name: "report-style",
    resolveId: (id) => (id === name ? `\0${name}` : undefined),
    async load(id) {
      if (id !== `\0${name}`) return undefined;
      const { sharedStyle } = await importBuilt("src/style/report-style.ts", mode, /^node:/);
      return sharedStyle;
    },
  };
}

const servedBackend = { find: /^\.\/backend\/tab\.ts$/, replacement: join(root, "src/backend/local.ts") };

export default defineConfig(({ mode }) => ({
  root,
  base: "./",
  oxc: jsx,
  resolve: {
    conditions,
    // Pith asks for this package only to run on WebGPU.
    alias: [
      { find: /^onnxruntime-web$/, replacement: "onnxruntime-web/webgpu" },
      ...(mode === "served" ? [servedBackend] : []),
    ],
  },
  worker: { format: "es" },
  build: { target: "es2022" },
  plugins: [reportStyle(mode), prerender(mode), ...(mode === "served" ? [] : [copyRuntime(), offline()])],
}));
