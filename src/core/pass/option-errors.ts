/** Formats violations of option schemas: the option, the accepted values, and the probable name. */

import * as v from "valibot";
import { optionError, stripPeriod } from "#graph";
import { isObject } from "../plain.ts";
import { insteadAt, namesAt } from "./option-schema.ts";
import { rejectionOf } from "./options.ts";
import { didYouMean, unknownOptionHint } from "./suggest-option.ts";

export interface OptionProblem {
  /** The path of the invalid option. For a missing option, the path of the object that lacks it. */
  readonly path: readonly (string | number)[];
  readonly part: "key" | "value";
  readonly sentence: string;
  readonly hint: string | undefined;
}

interface Issue {
  readonly kind: string;
  readonly type: string;
  readonly message: string;
  readonly expected: string | null;
  readonly received: string;
  readonly input: unknown;
  readonly requirement?: unknown;
  /** The path of the invalid value. `origin` tells whether its key or its value is invalid. */
  readonly path?: readonly { readonly origin: string; readonly key: unknown }[] | undefined;
  readonly issues?: readonly Issue[] | undefined;
}

/** Returns the most informative violation of a schema that was checked with `wording`. */
export function problemOf(
  schema: v.GenericSchema,
  issues: readonly [v.BaseIssue<unknown>, ...v.BaseIssue<unknown>[]],
  owner: string,
): OptionProblem {
  const issue = selectIssue(issues);
  const rejection = rejectionOf(issue);
  const issuePath = (issue.path ?? []).map(({ key }) => (typeof key === "number" ? key : String(key)));
  // A check of several options names the invalid one in its rejection.
  const path = issuePath.length === 0 && rejection?.at !== undefined ? [rejection.at] : issuePath;
  const last = String(path.at(-1) ?? "");
  if (isUnknown(issue)) return keyProblem(path, namesAt(schema, path.slice(0, -1)), owner);
  if (issue.path?.at(-1)?.origin === "key") {
    const sentence = `"${last}" is missing${summaryOf(schema, last)}`;
    return { path: path.slice(0, -1), part: "value", sentence, hint: undefined };
  }
  const expectation = stripPeriod(issue.message);
  const words = [...(issue.expected ?? "").matchAll(/"([^"]+)"/g)].map(([, word = ""]) => word);
  // Errors of option texts already quote the value.
  const isText = typeof issue.input === "string" && expectation.includes(valueText(issue.input));
  const isQuoted = path.length === 0 || issue.type === "check" || isText;
  return {
    path,
    part: "value",
    sentence: `${expectation}${isQuoted ? "" : `, got ${valueText(issue.input)}`}`,
    hint:
      rejection?.hint ??
      insteadAt(schema, path)[String(issue.input)] ??
      (typeof issue.input === "string" ? didYouMean(issue.input, words) : undefined),
  };
}

export function keyProblem(
  path: readonly (string | number)[],
  names: readonly string[],
  owner: string,
): OptionProblem & { readonly part: "key" } {
  const last = String(path.at(-1) ?? "");
  return {
    path,
    part: "key",
    sentence:
      path.length === 1
        ? `${owner} has no option "${last}"; it has ${names.join(", ")}`
        : `"${last}" is not known here, only ${names.join(", ")}`,
    hint: unknownOptionHint(last, names),
  };
}

/** Prefers a mistyped name to a missing one. @param names missing names of the enclosing issue: unknown in one alternative, but not mistyped. */
function selectIssue(issues: readonly [Issue, ...Issue[]], names: readonly string[] = []): Issue {
  const isMistyped = (issue: Issue): boolean => isUnknown(issue) && !names.includes(String(issue.path?.at(-1)?.key));
  const [first] = issues;
  const issue = issues.find(isMistyped) ?? issues.find(({ kind }) => kind === "validation") ?? first;
  const inner = (issue.issues ?? []).filter(({ path = [] }) => path.length > 0);
  const [firstInner, ...more] = inner;
  if (firstInner === undefined) return issue;
  const missing = inner.filter(({ expected, path }) => path?.at(-1)?.origin === "key" && expected !== "never");
  const selectedIssue = selectIssue(
    [firstInner, ...more],
    missing.map(({ path }) => String(path?.at(-1)?.key)),
  );
  return { ...selectedIssue, path: [...(issue.path ?? []), ...(selectedIssue.path ?? [])] };
}

function isUnknown({ type, expected }: Issue): boolean {
  return type === "strict_object" && expected === "never";
}

/** Returns the accepted values of an option, such as ": expected at least 1". */
function summaryOf(schema: v.GenericSchema, name: string): string {
  const result = v.safeParse(schema, { [name]: null }, wording);
  const issue: Issue | undefined = result.success
    ? undefined
    : result.issues.find(({ path }: Issue) => path?.length === 1 && path[0]?.key === name);
  return issue === undefined ? "" : `: ${stripPeriod(issue.message)}`;
}

/** A valibot configuration that derives messages from the type of a schema. */
export const wording = { message: (issue: v.BaseIssue<unknown>): string => `expected ${expectationText(issue)}` };

const typeNames: ReadonlyMap<string, string> = new Map([
  ["Array", "a list"],
  ["Object", "an object"],
  ["string", "a text"],
  ["number", "a number"],
  ["boolean", "true or false"],
]);

function expectationText({ expected, type }: Pick<Issue, "expected" | "type">): string {
  if (type === "integer") return "an integer";
  if (type === "non_empty") return "at least one";
  const parts = (expected ?? "something else").replace(/[()]/g, "").split(" | ");
  const phrases = parts
    .filter((part) => part !== "unknown")
    .map((part) => typeNames.get(part) ?? part.replace(/^>=/, "at least ").replace(/^<=/, "at most "))
    .map((part) => part.replace(/^>/, "more than ").replace(/^</, "less than "));
  const [last = ""] = phrases.slice(-1);
  return phrases.length > 1 ? `${phrases.slice(0, -1).join(", ")} or ${last}` : last;
}

/** Formats a value for a message: plain data as truncated JSON. */
export function valueText(value: unknown): string {
  if (typeof value === "function") return "a function";
  // JSON cannot represent NaN and infinities, so they become text.
  const finite = (_: string, part: unknown): unknown =>
    typeof part === "number" && !Number.isFinite(part) ? String(part) : part;
  if (typeof value === "number") return String(value);
  const text = isPlain(value)
    ? (JSON.stringify(value, finite) ?? String(value))
    : isObject(value)
      ? `{ ${Object.keys(value).join(", ")} }`
      : String(Object.prototype.toString.call(value));
  return text.length > 60 ? `${text.slice(0, 57)}…` : text;
}

function isPlain(value: unknown): boolean {
  if (typeof value === "bigint" || typeof value === "symbol" || typeof value === "function") return false;
  if (typeof value !== "object" || value === null) return true;
  return (Array.isArray(value) || isObject(value)) && Object.values(value).every(isPlain);
}

/** Validates options and fills in defaults. @throws PithError E_OPTION with the path of an invalid option and the accepted values. */
export function parseOptions<S extends v.GenericSchema>(owner: string, schema: S, options: unknown): v.InferOutput<S> {
  const result = v.safeParse(schema, options, wording);
  if (result.success) return result.output;
  const { path, part, sentence, hint } = problemOf(schema, result.issues, owner);
  // The message names the owner once.
  const at = path.length === 0 ? "" : `"${path.join(".")}": `;
  const place = part === "key" && path.length === 1 ? "" : `${owner}: ${at}`;
  throw optionError(`${place}${sentence}.`, { hint });
}
