/** Job of `pith bench --target browser` and `webgpu`: the same timing, in a page of a headless browser. */
import { basename, dirname, relative, sep } from "node:path";
import { createEngine } from "../../engine/index.ts";
import { type ErrorCode, errorCodes, PithError } from "../../errors.ts";
import { timedFeeds, timedShapes } from "../../evaluate/timed-inputs.ts";
import type { Model } from "../../graph/model.ts";
import type { JobContext } from "../../job/job.ts";
import { open } from "../../onnx/index.ts";
import { findChromium, openPage } from "../browser/chromium.ts";
import type { PageMessage, PageRequest } from "../browser/page.ts";
import { servePage } from "../browser/server.ts";
import { filesOf } from "../files.ts";
import { type BenchInput, type BenchOutput, inputTexts, samplesPerRun, timedSizes } from "./bench.ts";
import { contentsOfEach } from "./set.ts";

export type BrowserBenchInput = Omit<BenchInput, "runtime"> & { readonly runtime: "wasm" | "webgpu" };

/** Milliseconds without a word from the page after which it counts as gone: loading and one round of a large model take long. */
const patience = 300_000;

export default async function benchBrowserJob(input: BrowserBenchInput, context: JobContext): Promise<BenchOutput> {
  const program = await findChromium();
  const files = new Map<string, string>();
  const addresses: string[] = [];
  const batches: number[] = [];
  const models: Model[] = [];
  for (const [index, path] of input.models.entries()) {
    const model = await open(path);
    batches.push(samplesPerRun(model, input.dims));
    models.push(model);
    for (const file of filesOf(model, path)) {
      const inside = relative(dirname(path), file).split(sep).join("/");
      files.set(`model/${index}/${inside}`, file);
    }
    addresses.push(`model/${index}/${encodeURIComponent(basename(path))}`);
  }
  context.stage("time in the browser");
  const fixed = contentsOfEach(models, input.set);
  const shapes = await timedShapes(createEngine(), models, { ...(await timedSizes(input)), fixed });
  const last = await follow(program, { ...input, models: addresses, shapes }, files, context);
  switch (last.kind) {
    case "result":
      return {
        latency: last.report,
        batches,
        shapes,
        inputs: models.map((model, at) => inputTexts(timedFeeds(model, shapes[at] ?? {}, input.seed, fixed[at]))),
        runtime: input.runtime,
        browser: productOf(last.browser),
      };
    case "no-adapter":
      throw new PithError("E_UNSUPPORTED", `On this machine the browser has ${last.lacking}: nothing was timed.`, {
        hint: "A GPU that the browser can use is needed. --target browser times WebAssembly.",
      });
    case "failed":
      throw new PithError(codeOf(last.code), `In the browser: ${last.text}`);
    default:
      throw new Error(`The page ended with "${last.kind}".`);
  }
}

/** Serves the page, opens it, and returns its last message. @throws PithError E_ENGINE if it has none, E_STOPPED on the signal. */
async function follow(
  program: string,
  request: PageRequest,
  files: ReadonlyMap<string, string>,
  context: JobContext,
): Promise<PageMessage> {
  const { signal, temporary } = context;
  let heard = Date.now();
  let done: (message: PageMessage) => void = () => {};
  const finished = new Promise<PageMessage>((resolve) => {
    done = resolve;
  });
  const server = await servePage({
    request,
    files,
    onMessage(message) {
      heard = Date.now();
      if (message.kind === "progress") context.progress(message.done, message.total);
      else done(message);
    },
  });
  const page = await openPage(program, server.address, temporary);
  let watch: NodeJS.Timeout | undefined;
  const lost = new Promise<never>((_, reject) => {
    const failed = (sentence: string, code: ErrorCode = "E_ENGINE"): void => reject(new PithError(code, sentence));
    signal.addEventListener("abort", () => failed("Stopped on request.", "E_STOPPED"), { once: true });
    page.ended.then((how) => failed(`The browser exited before anything was timed (${how}).`));
    watch = setInterval(() => {
      if (Date.now() - heard > patience)
        failed(`The page did not respond for ${patience / 1000} s: it crashed, or the model is too large for it.`);
    }, 1000);
  });
  try {
    return await Promise.race([finished, lost]);
  } finally {
    clearInterval(watch);
    await page.close();
    await server.close();
  }
}

function codeOf(text: string | undefined): ErrorCode {
  return errorCodes.find((code) => code === text) ?? "E_ENGINE";
}

/** `Chrome/156.0.0.0` out of a user agent. */
function productOf(agent: string): string {
  return /(?:Headless)?Chrome\/[\d.]+/.exec(agent)?.[0] ?? agent;
}
