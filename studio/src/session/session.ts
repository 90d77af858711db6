/** Holds the model and the samples that the page works on, and computes what the page shows. The page holds the candidates. Uses Pith's public functions only. */
import { inspect, type Model, open } from "pith";
import { addFiles } from "pith/data";
import { dtypes } from "pith/quantize";
import type { OpenedTask } from "pith/task";
import { type Calls, maxExactBytes, type Progress, partSizes } from "../backend/backend.ts";
import { contentOfFile, contentOfModel } from "./content.ts";
import { brotliSize, gzipSize } from "./download-sizes.ts";

export interface CallContext {
  readonly signal: AbortSignal;
  readonly report: (progress: Progress) => void;
  /** Waits until nothing is computed. The signal is aborted when the next computation begins. */
  readonly whenIdle: () => Promise<AbortSignal>;
}

export interface Opened {
  readonly model: Model;
  readonly name: string;
  /** Bytes of the model's file with all weights. */
  readonly bytes: number;
}

export interface Sampled {
  readonly task: OpenedTask;
  readonly data: string;
  readonly samples: number;
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
  ]) => ({
    name,
    suffix,
    meaning,
    bits: bits ?? (scheme === "float16" ? 16 : 8),
  }),
);

/** Code is loaded by the first call that needs it, so that a model is inspected soon. */
export function createSession(): Session {
  let opened: Opened | undefined;
  let sampled: Sampled | undefined;
  const requireModel = (): Opened => {
    if (opened === undefined) throw new Error("No model is open.");
    return opened;
  };
  return {
    addFiles: (files) => addFiles(files),
    async openModel(place, { signal, report }) {
      report({ stage: "read the graph" });
      const warnings: string[] = [];
      const model = await open(/^https?:/i.test(place) ? new URL(place) : place, {
        warn: (text) => warnings.push(text),
      });
      const name = place.split(/[/\\?#]/).findLast((part) => part.endsWith(".onnx")) ?? place;
      report({ stage: "inspect the layers" });
      const inspection = await inspect(model);
      // A canceled call leaves the model of the page open.
      signal.throwIfAborted();
      opened = { model, name, bytes: inspection.bytes };
      sampled = undefined;
      return { name, inspection, warnings, dtypes: dtypeViews };
    },
    graph: async () => (await import("pith/compress")).drawGraph(requireModel().model),
    async openSamples(request, context) {
      const { openSamples } = await import("./samples.ts");
      const { view, task } = await openSamples(requireModel().model, request, context);
      context.signal.throwIfAborted();
      sampled = { task, data: request.data, samples: request.samples ?? partSizes.samples };
      return view;
    },
    make: async (request, context) =>
      (await import("./candidates.ts")).makeCandidate(requireModel(), sampled, request, context),
    async layerErrors(file, { signal, report }) {
      const { model } = requireModel();
      const [{ createEngine }, { layerErrors }] = await Promise.all([import("pith/engine"), import("pith/evaluate")]);
      const errors = await layerErrors(createEngine(), model, await open(file), sampled?.task.test, {
        samples: 32,
        signal,
        progress: (done, total) => report({ stage: "compare the layers", done, total }),
      });
      if ("reason" in errors) throw new Error(errors.reason);
      return errors;
    },
    timeOnGpu: async (file, context) =>
      (await import("./gpu-speed.ts")).timeOnGpu(requireModel().model, await open(file), sampled?.task.test, context),
    async downloadSizes(file, context) {
      const bytes = file?.size ?? requireModel().bytes;
      const content =
        file === undefined
          ? await contentOfModel(requireModel().model, bytes, maxExactBytes.gzip)
          : contentOfFile(file);
      return { gzip: await gzipSize(content, bytes), brotli: await brotliSize(content, context, bytes) };
    },
    report: async (run) => (await import("pith/compress")).reportPage(run),
  };
}
