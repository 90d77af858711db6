/** Holds the model and the samples that the page works on, and computes what the page shows. The page holds the candidates. Uses Pith's public functions only. */
import { type Inspection, inspect, type Model, open, PithError } from "pith";
import { addFiles } from "pith/data";
import { dtypes } from "pith/quantize";
import type { OpenedTask } from "pith/task";
import {
  type Calls,
  type DownloadSizes,
  maxExactBytes,
  type Progress,
  type SamplesRequest,
  type SamplesView,
  type Subject,
} from "../backend/backend.ts";
import { type Content, contentOfFile, contentOfModel } from "./content.ts";
import { brotliOf, brotliSize, gzipSize } from "./download-sizes.ts";

export interface CallContext {
  readonly signal: AbortSignal;
  readonly report: (progress: Progress) => void;
  /** Waits until nothing is computed. The signal is aborted when the next computation begins. */
  readonly whenIdle: () => Promise<AbortSignal>;
}

export interface Opened {
  readonly place: string;
  readonly model: Model;
  readonly name: string;
  readonly inspection: Inspection;
  readonly warnings: readonly string[];
}

export interface Sampled {
  readonly opened: Opened;
  /** A copy of the model that records the preprocessing. */
  readonly model: Model;
  readonly request: SamplesRequest;
  readonly task: OpenedTask;
}

/** The calls of the page, each with the context of the call as its last parameter. */
export type Session = {
  readonly [K in keyof Calls]: (
    ...parameters: [...Parameters<Calls[K]>, CallContext]
  ) => Promise<ReturnType<Calls[K]>> | ReturnType<Calls[K]>;
};

const dtypeViews = Object.entries(dtypes).map(
  ([
    name,
    {
      suffix,
      meaning,
      steps: [{ scheme, bits }],
    },
  ]) => ({ name, suffix, meaning, bits: bits ?? (scheme === "float16" ? 16 : 8) }),
);

/**
 * Code is loaded by the first call that needs it, so that a model is inspected soon.
 * @param brotliLength returns the size after brotli.
 */
export function createSession(
  brotliLength: (bytes: Uint8Array, signal: AbortSignal) => Promise<number | undefined> = async () => undefined,
): Session {
  let lastOpened: Opened | undefined;
  let lastSampled: Sampled | undefined;

  async function openModel(place: string, { signal, report }: CallContext): Promise<Opened> {
    report({ stage: "read the graph" });
    const warnings: string[] = [];
    const model = await open(/^https?:/i.test(place) ? new URL(place) : place, { warn: (text) => warnings.push(text) });
    const name = place.split(/[/\\?#]/).findLast((part) => part.endsWith(".onnx")) ?? place;
    report({ stage: "inspect the layers" });
    const inspection = await inspect(model);
    // A canceled call leaves the model of the page open.
    signal.throwIfAborted();
    lastOpened = { place, model, name, inspection, warnings };
    return lastOpened;
  }
  const modelAt = async (place: string, context: CallContext): Promise<Opened> =>
    lastOpened?.place === place ? lastOpened : openModel(place, context);

  async function openSamples(opened: Opened, request: SamplesRequest, context: CallContext): Promise<SamplesView> {
    const samples = await import("./samples.ts");
    // The model that is opened does not record a guess, which the next call would take for a fact.
    const model = opened.model.clone();
    const { view, task } = await samples.openSamples(model, request, context);
    context.signal.throwIfAborted();
    lastSampled = { opened, model, request, task };
    return view;
  }
  /** Returns the model and the samples of a call. */
  async function subjectOf(
    { model, samples }: Subject,
    context: CallContext,
  ): Promise<{ readonly opened: Opened; readonly sampled: Sampled | undefined }> {
    const opened = await modelAt(model, context);
    if (samples === undefined) return { opened, sampled: undefined };
    if (lastSampled?.opened !== opened || !isEqual(lastSampled.request, samples))
      await openSamples(opened, samples, context);
    return { opened: { ...opened, model: lastSampled?.model ?? opened.model }, sampled: lastSampled };
  }

  return {
    addFiles: (files) => addFiles(files),
    async openModel(place, context) {
      const { name, inspection, warnings } = await openModel(place, context);
      return { name, inspection, warnings, dtypes: dtypeViews };
    },
    graph: async ({ model }, context) =>
      (await import("../../../src/app/report/index.ts")).drawGraph((await modelAt(model, context)).model),
    openSamples: async (model, request, context) => openSamples(await modelAt(model, context), request, context),
    async make(subject, request, context) {
      const { opened, sampled } = await subjectOf(subject, context);
      return (await import("./candidates.ts")).makeCandidate(opened, sampled, request, context);
    },
    async layerErrors(subject, file, context) {
      const { opened, sampled } = await subjectOf(subject, context);
      const { signal, report } = context;
      const [{ engine }, { layerErrors }] = await Promise.all([import("./engine.ts"), import("pith/evaluate")]);
      const errors = await layerErrors(engine, opened.model, await open(file), sampled?.task.test, {
        samples: 32,
        signal,
        progress: (done, total) => report({ stage: "compare the layers", done, total }),
      });
      if ("reason" in errors) throw new PithError("E_UNSUPPORTED", errors.reason);
      return errors;
    },
    async time(subject, file, context) {
      const { opened } = await subjectOf(subject, context);
      return (await import("./candidates.ts")).timeModels([opened.model, await open(file)], context);
    },
    async timeOnGpu(subject, file, context) {
      const { opened, sampled } = await subjectOf(subject, context);
      const { timeOnGpu } = await import("./gpu-speed.ts");
      return timeOnGpu(opened.model, await open(file), sampled?.task.test, context);
    },
    async downloadSizes(file, context) {
      if (typeof file !== "string") return sizesOf(contentOfFile(file), file.size, context);
      const { model, inspection } = await modelAt(file, context);
      const content = await contentOfModel(model, inspection.bytes, maxExactBytes.gzip);
      return sizesOf(content, inspection.bytes, context);
    },
    async downloadRates(place, context) {
      const { model } = await modelAt(place, context);
      return (await import("./download-rates.ts")).measureDownloadRates(model);
    },
    async smallestDownload(subject, context) {
      const { opened, sampled } = await subjectOf(subject, context);
      const { makeSmallest } = await import("./candidates.ts");
      return sampled && brotliLength(await makeSmallest(opened, sampled, context), context.signal);
    },
    brotli: async (file, { signal }) => new Blob([await brotliOf(new Uint8Array(await file.arrayBuffer()), signal)]),
    report: async (run) => (await import("pith/compress")).reportPage(run),
  };
}

const sizesOf = async (content: Content, bytes: number, context: CallContext): Promise<DownloadSizes> => ({
  gzip: await gzipSize(content, bytes),
  brotli: await brotliSize(content, context, bytes),
});

const isEqual = (a: SamplesRequest, b: SamplesRequest): boolean => JSON.stringify(a) === JSON.stringify(b);
