/** Derives the accepted values of a flag from the option's schema, and parses them. */
import { PithError } from "../../core/errors.ts";
import { allNearest } from "../../core/graph/nearest.ts";
import { isWhole, open, type PipeItem, type SchemaNode } from "../../core/pass/schema.ts";

type Word = string | number | boolean;

interface Accepted {
  readonly choices: ReadonlySet<Word>;
  readonly number: "any" | "integer" | undefined;
  readonly share: boolean;
  readonly text: boolean;
  readonly toggle: boolean;
  readonly list: Accepted | undefined;
  readonly json: boolean;
  /** Also accepts values that only a program can provide: a function, a criterion. */
  readonly own: boolean;
}

/** Invalid value → the option that has the intended effect. */
type Instead = Readonly<Record<string, string>>;

export function choicesNote(accepted: Accepted): string {
  return [...(accepted.list?.choices ?? []), ...accepted.choices].join(", ");
}

export function valueName(accepted: Accepted): string {
  if (accepted.list !== undefined) return `${valueName(accepted.list)},…`;
  if (accepted.text) return "text";
  if (accepted.number !== undefined) return accepted.choices.size > 0 ? "value" : "n";
  return accepted.json ? "json" : "choice";
}

export function readWord(flag: string, text: string, accepted: Accepted, instead: Instead = {}): unknown {
  const choice = [...accepted.choices].find((candidate) => String(candidate) === text);
  if (choice !== undefined) return choice;
  const number = readNumber(text);
  if (accepted.share && number !== undefined && number > 1) {
    const isPercent = number <= 100 && !text.endsWith("%");
    const said = isPercent
      ? `${text} exceeds 1 (100 %): write ${text}% or ${Number((number / 100).toPrecision(12))}`
      : `expected at most 100%, got ${text}`;
    throw new PithError("E_OPTION", `${flag}: ${said}.`);
  }
  if (accepted.number !== undefined && number !== undefined) {
    if (accepted.number === "any" || Number.isInteger(number)) return number;
  }
  if (accepted.toggle && (text === "true" || text === "false")) return text === "true";
  if (accepted.json) {
    try {
      return JSON.parse(text);
    } catch {
      if (!accepted.text) throw new PithError("E_OPTION", `${flag}: expected JSON, got "${text}".`);
    }
  }
  if (accepted.text) return text;
  // With one supported number, the schema's own message is better.
  if (accepted.choices.size === 1 && number !== undefined) return number;
  const meant = number === undefined ? allNearest(text, [...accepted.choices].map(String)) : [];
  const own = accepted.own
    ? "Others than these only a program can give, as an object or a function of its own: see CONTRIBUTING.md."
    : undefined;
  const hint = instead[text] ?? (meant.length === 0 ? own : `Did you mean ${meant.join(" or ")}?`);
  throw new PithError("E_OPTION", `${flag}: expected ${expectation(accepted)}, got "${text}".`, { hint });
}

export function requirePercent(flag: string, text: string): void {
  const number = readNumber(text);
  if (number !== 1 || text.endsWith("%")) return;
  throw new PithError("E_OPTION", `${flag}: 1 is ambiguous (1 % or all): write 1%, 0.01 or 100%.`);
}

/** 8, 1e-3, .5, 50%. */
export function readNumber(text: string): number | undefined {
  const percent = text.endsWith("%");
  const digits = percent ? text.slice(0, -1).trim() : text.trim();
  const value = digits === "" ? Number.NaN : Number(digits);
  if (!Number.isFinite(value)) return undefined;
  // 99.9 / 100 is 0.9990000000000001.
  return percent ? Number((value / 100).toPrecision(15)) : value;
}

function expectation(accepted: Accepted): string {
  const parts: string[] = [];
  if (accepted.choices.size > 0) parts.push([...accepted.choices].join(", "));
  if (accepted.toggle) parts.push("true, false");
  if (accepted.number !== undefined) parts.push(accepted.number === "integer" ? "an integer" : "a number");
  return parts.join(" or ");
}

export function isExpressible(accepted: Accepted): boolean {
  const { choices, number, text, toggle, list, json } = accepted;
  return (
    choices.size > 0 || number !== undefined || text || toggle || json || (list !== undefined && isExpressible(list))
  );
}

export function acceptedBy(schemas: readonly SchemaNode[]): Accepted {
  const nodes = schemas.flatMap(open);
  const of = (...types: readonly string[]): readonly SchemaNode[] => nodes.filter(({ type }) => types.includes(type));
  const [numbers, lists] = [of("number"), of("array", "tuple", "strict_tuple")];
  const words = [
    ...of("picklist", "enum").flatMap(({ options = [] }) => options),
    ...of("literal").map((one) => one.literal),
  ];
  const inLists = lists.flatMap(({ items, item }) => items ?? (item === undefined ? [] : [item]));
  const inRecords = of("record").flatMap(({ value }) => value ?? []);
  return {
    choices: new Set(words.filter(isWord)),
    number: numbers.length === 0 ? undefined : numbers.every(isWhole) ? "integer" : "any",
    share: numbers.some(
      (one) => !isWhole(one) && pipeOf(one).some((part) => part.type === "max_value" && part.requirement === 1),
    ),
    text: of("string").length > 0,
    toggle: of("boolean").length > 0,
    list: lists.length === 0 ? undefined : acceptedBy(inLists),
    json:
      of("object", "strict_object", "loose_object").length > 0 ||
      inRecords.some((one) => isExpressible(acceptedBy([one]))),
    own: of("custom").length > 0,
  };
}

/** Flattens a pipe whose first schema is a pipe itself. */
export function pipeOf({ pipe = [] }: { readonly pipe?: readonly PipeItem[] }): readonly PipeItem[] {
  const [first, ...rest] = pipe;
  return first === undefined ? [] : [...pipeOf(first), ...rest];
}

export function isWord(value: unknown): value is Word {
  return typeof value === "string" || typeof value === "number" || typeof value === "boolean";
}
