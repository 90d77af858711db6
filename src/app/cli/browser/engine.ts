/** Engine that runs and times models in a page of a headless browser. */
import { mkdtemp, readdir, readFile, rm } from "node:fs/promises";
import { createRequire } from "node:module";
import { extname, join } from "node:path";
import { fileURLToPath } from "node:url";
import type { Download, JSHandle, Page } from "playwright-core";
import { type Batch, errorMessage, type Model, open, PithError, save } from "#ir";
import { moduleExtension, root } from "#root";
import { deliverOutputs, type Engine, requestedNames } from "../../../core/engine/engine.ts";
import { fromFault } from "../../../core/platform/serialized-error.ts";
import type { JobContext } from "../../../runtime/job/job.ts";
import type { LatencyReport } from "../../../runtime/run/latency.ts";
import { openPage } from "./chromium.ts";
import { decodeBatch, encodeBatch, type PageFacts, type PageTiming, type Reply } from "./messages.ts";
import type { Call, PageFunctions } from "./page.ts";

export interface BrowserEngine extends Engine {
  readonly page: PageFacts;
  time(
    models: readonly Model[],
    feeds: readonly Batch[],
    timing: PageTiming,
    progress: (done: number, total?: number) => void,
  ): Promise<LatencyReport>;
  close(): Promise<void>;
}

/** Maximum bytes of a weight file, because a page cannot hold larger models in one buffer. */
const fileBytes = 2 ** 30;

export interface BrowserOptions extends Pick<JobContext, "temporary" | "signal"> {
  readonly runtimes?: string;
}

/** Opens a browser with a page that runs models. @param options `temporary`: for its files. @throws PithError as `openPage`, E_ENGINE_MISSING, E_STOPPED. */
export async function openBrowserEngine(
  runtime: "wasm" | "webgpu",
  { temporary, signal, runtimes }: BrowserOptions,
): Promise<BrowserEngine> {
  const { page, failure: pageFailure, close } = await openPage(temporary);
  let stop = (): void => {};
  const stopRequested = new Promise<never>((_, reject) => {
    stop = () => reject(new PithError("E_STOPPED", "Stopped on request."));
  });
  stopRequested.catch(() => {});
  signal.addEventListener("abort", stop, { once: true });
  const raceWithEnd = <T>(work: Promise<T>): Promise<T> => Promise.race([work, pageFailure, stopRequested]);

  let module: JSHandle<typeof import("./page.ts")> | undefined;
  const call = async <K extends keyof PageFunctions>(
    name: K,
    ...parameters: Parameters<PageFunctions[K]>
  ): Promise<Awaited<ReturnType<PageFunctions[K]>>> => {
    const work = async (): Promise<Reply> => {
      module ??= await page.evaluateHandle<typeof import("./page.ts")>(`import("${pageModule}")`);
      return module.evaluate(({ performCall: perform }, call) => perform(call as Call), [name, parameters] as Call);
    };
    const reply = await raceWithEnd(work()).catch((cause) => {
      throw cause instanceof PithError ? cause : new PithError("E_ENGINE", `In the browser: ${errorMessage(cause)}`);
    });
    if ("fault" in reply) throw errorOfReply(reply);
    return reply.value as Awaited<ReturnType<PageFunctions[K]>>;
  };

  let previousWork: Promise<unknown> = Promise.resolve();
  /** Passes the files of models to the page and calls `use`. The page has one file input, so calls run one after the other. */
  const withFiles = <T>(models: readonly Model[], use: (names: readonly string[]) => Promise<T>): Promise<T> => {
    const work = previousWork.then(async () => {
      const folder = await mkdtemp(join(temporary, "models-"));
      try {
        const names = models.map((_, index) => `${index}.onnx`);
        for (const [index, model] of models.entries()) await save(model, join(folder, `${index}.onnx`), { fileBytes });
        const files = (await readdir(folder)).map((name) => join(folder, name));
        await raceWithEnd(page.setInputFiles("input", files));
        return await use(names);
      } finally {
        await rm(folder, { recursive: true, force: true });
      }
    });
    previousWork = work.catch(() => {});
    return work;
  };
  const run = (session: number, feeds: Batch, names: readonly string[] | undefined): Promise<Batch> =>
    withFiles([encodeBatch(feeds)], async ([name = ""]) => {
      const downloadStarted = new Promise<Download>((resolve) => page.once("download", resolve));
      await call("run", session, name, names);
      const download = await raceWithEnd(downloadStarted);
      try {
        return await decodeBatch(await open(await download.path()));
      } finally {
        await download.delete();
      }
    });
  let reportProgress: (done: number, total?: number) => void = () => {};
  const closeAll = async (): Promise<void> => {
    signal.removeEventListener("abort", stop);
    await close();
  };

  try {
    await raceWithEnd(provideModules(page, { runtime, runtimes }));
    await page.exposeFunction("progressed", (done: number, total?: number) => reportProgress(done, total));
    return {
      page: await call("start", runtime),
      load: (model, options = {}) =>
        withFiles([model], async ([name = ""]) => {
          const session = await call("load", name, options);
          return {
            run: async (feeds, fetch) => deliverOutputs(await run(session, feeds, requestedNames(fetch)), fetch),
            release: () => call("release", session),
          };
        }),
      time: (models, feeds, timing, progress) =>
        withFiles([...models, ...feeds.map(encodeBatch)], (names) => {
          reportProgress = progress;
          const [modelNames, feedNames] = [names.slice(0, models.length), names.slice(models.length)];
          return call("time", modelNames, feedNames, timing);
        }),
      close: closeAll,
    };
  } catch (error) {
    await closeAll();
    throw error;
  }
}

function errorOfReply({ fault, cause }: Extract<Reply, { readonly fault: unknown }>): Error {
  const error = fromFault(fault);
  if (!(error instanceof PithError)) return error;
  const options = { hint: error.advice, ...(cause === undefined ? {} : { cause: new Error(cause) }) };
  return new PithError(error.code, `In the browser: ${error.message}`, options);
}

/** Address of the page. Requests are answered here. https makes a secure context, which WebGPU and threads require. */
const origin = "https://pith.invalid/";
/** Folder of Pith's modules: `src` or `dist`. */
const modulesFolder = fileURLToPath(root());
const extension = moduleExtension();
const require = createRequire(import.meta.url);

const libraries = ["valibot"];
/** Parts of `core` that sources import by name. The build replaces these names. */
const namedParts = ["graph", "ir", "analysis", "pass"];

/** Headers that isolate the page, because threads require shared memory. */
const headers = { "Cross-Origin-Opener-Policy": "same-origin", "Cross-Origin-Embedder-Policy": "require-corp" };

interface ModulesOptions {
  readonly runtime: "wasm" | "webgpu";
  readonly runtimes?: string | undefined;
}

/** Opens an empty page that can import `pageModule`. @throws PithError E_ENGINE_MISSING without onnxruntime-web. */
async function provideModules(page: Page, { runtime, runtimes = runtimeFolder() }: ModulesOptions): Promise<void> {
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

const pageModule = `${origin}code/app/cli/browser/page${extension}`;

/** Returns the folder of onnxruntime-web, as installed in the project, next to transformers.js, or next to Pith. */
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
    ...Object.fromEntries(namedParts.map((part) => [`#${part}`, `./code/core/${part}/index${extension}`])),
    ...Object.fromEntries(libraries.map((name) => [name, `./lib/${name}`])),
  };
  return `<!doctype html><input type="file" multiple><script type="importmap">${JSON.stringify({ imports })}</script>`;
}

/** Part of TypeScript's API that `moduleText` uses. */
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
