/** Holds the model, the samples and the candidates that the page works on, and computes what the page shows. Uses Pith's public functions only. */
import { encodeToBytes, inspect, type Model, open } from "pith";
import { addFiles } from "pith/data";
import { createEngine } from "pith/engine";
import { layerErrors } from "pith/evaluate";
import type { OpenedTask } from "pith/task";
import type { Calls, Progress } from "../backend/backend.ts";
import { brotliSize } from "./brotli.ts";
import { type Finished, makeCandidate, productOf } from "./candidates.ts";
import { openSamples } from "./samples.ts";

export interface CallContext {
  readonly signal: AbortSignal;
  readonly report: (progress: Progress) => void;
}

export interface Opened {
  readonly model: Model;
  readonly name: string;
}

export interface Sampled {
  readonly task: OpenedTask;
  readonly data: string;
}

/** The calls of the page, each with the context of the call as its last parameter. */
export type Session = {
  readonly [K in keyof Calls]: (
    ...parameters: [...Parameters<Calls[K]>, CallContext]
  ) => Promise<ReturnType<Calls[K]>> | ReturnType<Calls[K]>;
};

export function createSession(): Session {
  let opened: Opened | undefined;
  let sampled: Sampled | undefined;
  const finished = new Map<string, Finished>();
  const engine = createEngine();
  const requireModel = (): Opened => {
    if (opened === undefined) throw new Error("No model is open.");
    return opened;
  };
  const requireCandidate = (id: string): Finished => {
    const candidate = finished.get(id);
    if (candidate === undefined) throw new Error(`There is no candidate "${id}".`);
    return candidate;
  };
  return {
    addFiles: (files) => addFiles(files),
    async openModel(place, { report }) {
      report({ stage: "read the graph" });
      const warnings: string[] = [];
      const model = await open(URL.canParse(place) ? new URL(place) : place, { warn: (text) => warnings.push(text) });
      const name = place.split(/[/?#]/).findLast((part) => part.endsWith(".onnx")) ?? place;
      report({ stage: "inspect the layers" });
      const inspection = await inspect(model);
      opened = { model, name };
      sampled = undefined;
      finished.clear();
      return { name, inspection, warnings };
    },
    async openSamples(request, context) {
      const { view, task } = await openSamples(requireModel().model, request, context);
      sampled = { task, data: request.data };
      return view;
    },
    async make(request, context) {
      const candidate = await makeCandidate(requireModel(), sampled, request, context);
      finished.set(request.id, candidate);
      return candidate.view;
    },
    async layerErrors(id, { signal, report }) {
      const { model } = requireModel();
      const errors = await layerErrors(engine, model, await requireCandidate(id).open(), sampled?.task.test, {
        samples: 32,
        signal,
        progress: (done, total) => report({ stage: "compare the layers", done, total }),
      });
      if ("reason" in errors) throw new Error(errors.reason);
      return errors;
    },
    brotli: async (id) =>
      brotliSize(id === undefined ? await encodeToBytes(requireModel().model) : requireCandidate(id).bytes),
    product: (id, product) => productOf(requireCandidate(id), product),
  };
}
