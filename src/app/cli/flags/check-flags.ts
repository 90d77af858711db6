/** Checks options that flags set. The process of a command needs no commander for this. */
import * as v from "valibot";
import { capitalize, optionError, type PithError } from "#ir";
import { entriesAt, problemOf, type SchemaNode, wording } from "#pass";
import { flagName } from "./flag-names.ts";

export function checkFlags<S extends v.GenericSchema>(schema: S, options: unknown, hint: string): v.InferOutput<S> {
  const result = v.safeParse(schema, options, wording);
  if (result.success) return result.output;
  throw misfitError(schema, result.issues, hint);
}

export function misfitError(
  schema: v.GenericSchema,
  issues: readonly [v.BaseIssue<unknown>, ...v.BaseIssue<unknown>[]],
  hint: string,
): PithError {
  const misfit = problemOf(schema, issues, "");
  const [key, ...inside] = misfit.path.map(String);
  const text = [...inside.filter((part) => !/^\d+$/.test(part)), misfit.sentence].join(": ");
  const place =
    key === undefined ? capitalize(text) : `${flagName(key)}${/^(is|takes) /.test(text) ? "" : ":"} ${text}`;
  return optionError(`${place}.`, { hint: misfit.hint ?? hint });
}

export function keysOf(schema: v.GenericSchema): ReadonlySet<string> {
  return new Set(entriesAt(schema).keys());
}

export function requiredKeys(schema: v.GenericSchema): ReadonlySet<string> {
  const isOptional = ({ type }: SchemaNode): boolean => /^(optional|exact_optional|nullish|undefinedable)$/.test(type);
  const entries = [...entriesAt(schema)];
  return new Set(entries.flatMap(([key, alternatives]) => (alternatives.some(isOptional) ? [] : [key])));
}
