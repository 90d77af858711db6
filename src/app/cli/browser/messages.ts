/** Values between the page and its driver (`engine.ts`). Models and tensors are files, because Playwright's encoding is slow. */
import { type Batch, type Dense, inMemory, Model } from "#ir";
import type { Fault } from "../../../core/platform/serialized-error.ts";

export interface PageFacts {
  readonly browser: string;
  readonly version: string;
  readonly adapter?: Adapter;
  readonly threads: number;
}

export interface Adapter {
  /** Vendor, architecture, device and description: "nvidia ampere", "google swiftshader". */
  readonly name: string;
  /** Whether the adapter runs on the CPU, so that its times do not apply to graphics cards. */
  readonly isSoftware: boolean;
  readonly float16: boolean;
}

export interface PageTiming {
  readonly rounds: number;
  readonly threads: number | undefined;
}

/** Result of a call. Errors are converted to plain data, because an error object loses its code between page and driver. */
export type Reply = { readonly value: unknown } | { readonly fault: Fault; readonly cause: string | undefined };

/** Returns a model that only stores the tensors of a batch, as a file format for all tensor types. */
export function encodeBatch(batch: Batch): Model {
  const model = new Model();
  for (const [name, tensor] of Object.entries(batch)) model.graph.addTensor(name, inMemory(tensor));
  return model;
}

export async function decodeBatch({ graph }: Model): Promise<Batch> {
  const batch: Record<string, Dense> = {};
  for (const { name, tensor } of graph.values()) if (tensor !== undefined) batch[name] = await tensor.read();
  return batch;
}
