import * as v from "valibot";
import { PithError } from "#ir";
import { type Sensitivity, sensitivityFormatVersion, sensitivityKinds } from "./sensitivity-record.ts";

/** Accepts a number or null, because JSON stores NaN and infinities as null. */
const figureSchema = v.pipe(
  v.nullable(v.number()),
  v.transform((value) => value ?? Number.NaN),
);
const estimateSchema = v.object({
  value: figureSchema,
  low: figureSchema,
  high: figureSchema,
  count: v.number(),
  confidence: v.number(),
});
const kindSchema = v.picklist(sensitivityKinds);
const bytesSchema = v.pipe(v.number(), v.minValue(0));

const schema = v.object({
  format: v.literal(sensitivityFormatVersion),
  version: v.string(),
  model: v.string(),
  bytes: bytesSchema,
  metric: v.object({
    name: v.string(),
    unit: v.picklist(["share", "dB", "nats", ""]),
    better: v.picklist(["higher", "lower"]),
  }),
  original: estimateSchema,
  data: v.pipe(
    v.object({ name: v.string(), count: v.optional(v.number()) }),
    v.transform(({ name, count }) => ({ name, count })),
  ),
  seed: v.number(),
  rows: v.array(
    v.object({
      kind: kindSchema,
      layers: v.pipe(v.array(v.string()), v.minLength(1)),
      setting: v.number(),
      drop: estimateSchema,
      bytes: bytesSchema,
      saved: v.number(),
      savedMacs: v.optional(v.number()),
      savedTime: v.optional(v.number()),
    }),
  ),
  misses: v.pipe(
    v.array(v.object({ kind: kindSchema, at: v.optional(v.string()), reason: v.string() })),
    v.transform((misses) => misses.map(({ kind, at, reason }) => ({ kind, at, reason }))),
  ),
  open: v.number(),
  seconds: v.number(),
});

/**
 * Parses the output of `pith sensitivity`. Values that are not finite are NaN.
 * @param name the file's name in errors.
 * @throws PithError E_DATA with the first place that does not fit.
 * @example
 * const losses = parseSensitivity(await readFile("out/sensitivity.json", "utf8"), "out/sensitivity.json");
 */
export function parseSensitivity(text: string, name = "sensitivity.json"): Sensitivity {
  let data: unknown;
  try {
    data = JSON.parse(text);
  } catch (cause) {
    throw new PithError("E_DATA", `${name} is not JSON.`, { cause });
  }
  const result = v.safeParse(schema, data);
  if (result.success) return result.output;
  const [issue] = result.issues;
  const path = v.getDotPath(issue) ?? "the whole";
  throw new PithError("E_DATA", `${name} was not written by pith sensitivity: ${path}: ${issue.message}.`);
}
