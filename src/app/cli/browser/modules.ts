/** Serves Pith's modules and onnxruntime-web to a page through Playwright. */
import { readFile } from "node:fs/promises";
import { createRequire } from "node:module";
import { extname, join } from "node:path";
import { fileURLToPath } from "node:url";
import type { Page } from "playwright-core";
import { moduleExtension, root } from "#root";
import { PithError } from "../../../core/errors.ts";

/** Address of the page. No server has this address; requests are answered here. https makes a secure context, which WebGPU and threads require. */
const origin = "https://pith.invalid/";
/** Folder of Pith's modules: `src` or `dist`. */
const modulesFolder = fileURLToPath(root());
const extension = moduleExtension();
const require = createRequire(import.meta.url);

const libraries = ["valibot"];

/** Headers that isolate the page. Only isolated pages have shared memory, which threads require. */
const headers = { "Cross-Origin-Opener-Policy": "same-origin", "Cross-Origin-Embedder-Policy": "require-corp" };

export interface ModulesOptions {
  readonly runtime: "wasm" | "webgpu";
  /** Folder of onnxruntime-web. */
  readonly runtimes?: string | undefined;
}

/**
 * Opens an empty page that can import `pageModule` and its imports. All other requests fail, so the page has no network access.
 * @throws PithError E_ENGINE_MISSING without onnxruntime-web.
 */
export async function provideModules(
  page: Page,
  { runtime, runtimes = runtimeFolder() }: ModulesOptions,
): Promise<void> {
  await page.context().route("**/*", async (route) => {
    const [, area, ...parts] = new URL(route.request().url()).pathname.split("/");
    const subpath = join(...parts);
    const contentType = extname(subpath) === ".wasm" ? "application/wasm" : "text/javascript";
    try {
      if (area === "") await route.fulfill({ headers, contentType: "text/html", body: pageText(runtime) });
      else if (area === "code")
        await route.fulfill({ headers, contentType, body: await moduleText(join(modulesFolder, subpath)) });
      else if (area === "lib")
        await route.fulfill({ headers, contentType, path: fileURLToPath(import.meta.resolve(subpath)) });
      else await route.fulfill({ headers, contentType, path: join(runtimes, subpath) });
    } catch {
      await route.abort();
    }
  });
  await page.goto(origin);
}

export const pageModule = `${origin}code/app/cli/browser/page${extension}`;

/** Returns the folder of onnxruntime-web. It can be installed in the current project, next to the project's transformers.js, or next to Pith. */
function runtimeFolder(): string {
  const project = createRequire(join(process.cwd(), "package.json"));
  const transformers = () => createRequire(project.resolve("@huggingface/transformers"));
  for (const createLookup of [() => project, transformers, () => require]) {
    try {
      return join(createLookup().resolve("onnxruntime-web"), "..");
    } catch {}
  }
  throw new PithError("E_ENGINE_MISSING", "A browser runs models with onnxruntime-web, which is not installed.", {
    hint: "npm install onnxruntime-web",
  });
}

/** Returns the text of the page. Its only input element receives the files of models. */
function pageText(runtime: ModulesOptions["runtime"]): string {
  const ort = runtime === "webgpu" ? "./ort/ort.webgpu.min.mjs" : "./ort/ort.wasm.min.mjs";
  const imports = {
    "#platform": `./code/core/platform/browser${extension}`,
    "#root": `./code/core/platform/root${extension}`,
    "#onnxruntime": ort,
    "onnxruntime-web": ort,
    ...Object.fromEntries(libraries.map((name) => [name, `./lib/${name}`])),
  };
  return `<!doctype html><input type="file" multiple><script type="importmap">${JSON.stringify({ imports })}</script>`;
}

/** Part of TypeScript's API that `moduleText` uses. TypeScript is installed if Pith runs from source. */
interface Transpiler {
  readonly ModuleKind: Readonly<Record<"ESNext", number>>;
  readonly ScriptTarget: Readonly<Record<"ES2022", number>>;
  transpileModule(
    text: string,
    options: { readonly compilerOptions: Readonly<Record<string, number | boolean>> },
  ): { readonly outputText: string };
}

/** Returns the JavaScript of a module. If Pith runs from source, types are removed. */
async function moduleText(path: string): Promise<string> {
  const text = await readFile(path, "utf8");
  if (extension !== ".ts") return text;
  const { transpileModule, ModuleKind, ScriptTarget }: Transpiler = require("typescript");
  return transpileModule(text, {
    compilerOptions: { module: ModuleKind.ESNext, target: ScriptTarget.ES2022, verbatimModuleSyntax: true },
  }).outputText;
}
