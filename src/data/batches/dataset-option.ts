/** Schemas of options that accept a dataset, or the path of one. */
import * as v from "valibot";
import type { Dataset } from "./dataset.ts";

export function isDataset(value: unknown): value is Dataset {
  if (typeof value !== "object" || value === null || !("batches" in value) || !("name" in value)) return false;
  return typeof value.batches === "function" && typeof value.name === "string";
}

export const datasetObject = v.custom<Dataset>(isDataset);

export const datasetOption = v.union(
  [v.string(), datasetObject],
  'takes a data set or the path of one (arrays: memory("name", { input, label }) from pith/data)',
);
