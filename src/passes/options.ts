/** Options that several passes have, declared once; and what a text has to be that says something of its own. */
import * as v from "valibot";
import { clause, PithError } from "../errors.ts";

/** What the command line needs to know of an option beside its schema. */
export interface FlagMetadata {
  readonly short?: string;
  readonly value?: string;
  /** Help of the flag --no-… where the default is true. */
  readonly negated?: string;
  /** Options of single layers, given as `conv1:option=value`. */
  readonly perLayer?: boolean;
  /** 1 is refused without a percent sign: 1 may be meant as 1 % or as all. With false a number up to 1 is no share. */
  readonly percent?: boolean;
  /** The heading of the help under which the flag is listed, instead of "Options:". */
  readonly group?: string;
  /** What the words mean that the value may be: a section of the help after the flags. */
  readonly meanings?: Meanings;
  /** Values that are none, and what does what they mean: the hint of the error. */
  readonly instead?: Readonly<Record<string, string>>;
}

export interface Meanings {
  readonly title: string;
  readonly rows: readonly (readonly [word: string, meaning: string])[];
}

/** A schema with the words that help and documentation show, and what its flag needs beside them. */
export const described = <S extends v.GenericSchema>(schema: S, text: string, facts: FlagMetadata = {}) =>
  v.pipe(schema, v.description(text), v.metadata({ ...facts }));

/** The same, of an option that may be left out and has no default. */
export const option = <S extends v.GenericSchema>(schema: S, text: string, facts: FlagMetadata = {}) =>
  described(v.optional(schema), text, facts);

/** A number of things: 1 or more. */
export const countOption = v.pipe(v.number(), v.integer(), v.minValue(1));

export const positiveOption = v.pipe(v.number(), v.gtValue(0, "must be above 0"));

/** A time limit of at most 30 days. */
export const minutesOption = v.pipe(positiveOption, v.maxValue(43_200, "must be at most 43200 (30 days)"));

/** A size as hosts count it: a megabyte is a million bytes. */
export const sizeOption = v.pipe(v.string(), v.regex(/^\d+(\.\d+)?\s*[kMG]?B$/i, "takes a size such as 300kB or 2MB"));

export function bytesOf(text: string): number {
  const [, number = "", unit = ""] = /^([\d.]+)\s*([kMG]?)B$/i.exec(text) ?? [];
  return Number(number) * { "": 1, k: 1e3, m: 1e6, g: 1e9 }[unit.toLowerCase() as "" | "k" | "m" | "g"];
}

type Reader = (given: unknown) => PithError | undefined;

const readers = new WeakMap<object, Reader>();

/**
 * Refuses what `read` refuses, in its words: options that are a language of their own are understood before anything is done. Which option it is
 * says the code that reports the issue.
 */
export function understood<T>(read: (given: T) => unknown) {
  const refused = (given: T): PithError | undefined => {
    try {
      read(given);
      return undefined;
    } catch (error) {
      if (error instanceof PithError) return error;
      throw error;
    }
  };
  const requirement = (given: T): boolean => refused(given) === undefined;
  readers.set(requirement, refused as Reader);
  return v.check<T, (issue: v.CheckIssue<T>) => string>(requirement, ({ input }) =>
    clause(refused(input)?.sentence ?? ""),
  );
}

/** What may be done about an issue, where what was given was to be understood. */
export function hintOf({
  requirement,
  input,
}: {
  readonly requirement?: unknown;
  readonly input: unknown;
}): string | undefined {
  return typeof requirement === "function" ? readers.get(requirement)?.(input)?.hint : undefined;
}

const names = v.optional(
  v.union([v.string(), v.array(v.string())], "takes the name of a layer, or a list of names and patterns"),
);

/** Options of single layers: `entries`, which have no defaults. */
export const overridesOption = <E extends v.ObjectEntries>(entries: E) => {
  const names = Object.keys(entries);
  return described(
    v.optional(v.record(v.string(), v.strictObject(entries))),
    `rules such as "fc*:${names[0]}=…": ${names.join(", ")}`,
    { value: "rule", perLayer: true },
  );
};

const listed = { value: "layer,…" };

/** What `selectionOptions` takes, with the words that editors show: of entries that are spread they show none. */
export interface LayerSelection {
  /** Names or patterns of the layers, or operator types; unless said, all. */
  readonly layers?: string | string[] | undefined;
  /** Names or patterns of layers to leave alone. */
  readonly except?: string | string[] | undefined;
}

/** `layers` and `except`, as `selectLayers` takes them. `verb` says what is done to a layer. */
export const selectionOptions = (verb: string) => ({
  layers: described(
    names,
    `layers to ${verb}: names, patterns such as "layer4*", operator types (default: all)`,
    listed,
  ),
  except: described(names, "layers to exclude: names, patterns or operator types", listed),
});
