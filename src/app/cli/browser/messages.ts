/** Orders to the page and its replies. Models and tensors travel as files: Playwright's own encoding takes seconds for megabytes. */
import type { LoadOptions } from "../../../core/engine/index.ts";
import { Model } from "../../../core/graph/model.ts";
import type { Fault } from "../../../core/platform/serialized-error.ts";
import { inMemory } from "../../../core/tensor/dense.ts";
import type { Batch, Dense } from "../../../core/tensor/types.ts";
import type { LatencyReport } from "../../../runtime/run/latency.ts";

export interface PageFacts {
  readonly browser: string;
  readonly version: string;
  readonly adapter?: Adapter;
  readonly threads: number;
}

export interface Adapter {
  /** "nvidia ampere", "google swiftshader" */
  readonly name: string;
  /** A software adapter's times say nothing about graphics cards. */
  readonly isSoftware: boolean;
  readonly float16: boolean;
}

export interface PageTiming {
  readonly rounds: number;
  readonly threads: number | undefined;
}

/** `model` and `feeds` are names of files in the page's input; sessions are identified by the number that loading returned. */
export type Order =
  | { readonly kind: "start"; readonly runtime: "wasm" | "webgpu" }
  | { readonly kind: "load"; readonly model: string; readonly options: LoadOptions }
  | {
      readonly kind: "run";
      readonly session: number;
      readonly feeds: string;
      readonly names: readonly string[] | undefined;
    }
  | { readonly kind: "release"; readonly session: number }
  | ({ readonly kind: "time"; readonly models: readonly string[]; readonly feeds: readonly string[] } & PageTiming);

export interface Answers {
  readonly start: PageFacts;
  readonly load: number;
  /** The page downloads the outputs. */
  readonly run: null;
  readonly release: null;
  readonly time: LatencyReport;
}

export type Reply =
  | { readonly answer: Answers[keyof Answers] }
  | { readonly fault: Fault; readonly cause: string | undefined };

/** Returns a model that only stores tensors, because its file format has all types. */
export function modelOf(batch: Batch): Model {
  const model = new Model();
  for (const [name, tensor] of Object.entries(batch)) model.graph.addTensor(name, inMemory(tensor));
  return model;
}

export async function batchOf({ graph }: Model): Promise<Batch> {
  const batch: Record<string, Dense> = {};
  for (const { name, tensor } of graph.values()) if (tensor !== undefined) batch[name] = await tensor.read();
  return batch;
}
