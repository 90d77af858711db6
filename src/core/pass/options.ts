/** Options that several passes share, declared once, and checks of option texts. */
import * as v from "valibot";
import { PithError, stripPeriod } from "../errors.ts";

export interface FlagMetadata {
  readonly short?: string;
  readonly value?: string;
  /** Help of the flag --no-…, if the default is true. */
  readonly negated?: string;
  /** Per-layer options, given as `conv1:option=value`. */
  readonly perLayer?: boolean;
  /** Rejects 1 without a percent sign, because it could mean 1 % or all. If false, a number up to 1 is not a share. */
  readonly percent?: boolean;
  /** Whether `--help` shows the flag; `--help-all` shows every flag. */
  readonly common?: boolean;
  /** The help heading of the flag; default: "Options:". */
  readonly group?: string;
  /** The meanings of the accepted words: a section of the help after the flags. */
  readonly meanings?: Meanings;
  /** Words that are not accepted, with the equivalent: the hint of the error. */
  readonly instead?: Readonly<Record<string, string>>;
}

export interface Meanings {
  readonly title: string;
  readonly rows: readonly (readonly [word: string, meaning: string])[];
}

export const described = <S extends v.GenericSchema>(schema: S, text: string, facts: FlagMetadata = {}) =>
  v.pipe(schema, v.description(text), v.metadata({ ...facts }));

/** As `described`, for an optional option without a default. */
export const option = <S extends v.GenericSchema>(schema: S, text: string, facts: FlagMetadata = {}) =>
  described(v.optional(schema), text, facts);

export const countOption = v.pipe(v.number(), v.integer(), v.minValue(1));

export const positiveOption = v.pipe(v.number(), v.gtValue(0, "must be above 0"));

export const minutesOption = v.pipe(positiveOption, v.maxValue(43_200, "must be at most 43200 (30 days)"));

/** A file size with decimal units: a megabyte is a million bytes. */
export const sizeOption = v.pipe(v.string(), v.regex(/^\d+(\.\d+)?\s*[kMG]?B$/i, "takes a size such as 300kB or 2MB"));

export function bytesOf(text: string): number {
  const [, number = "", unit = ""] = /^([\d.]+)\s*([kMG]?)B$/i.exec(text) ?? [];
  return Number(number) * { "": 1, k: 1e3, m: 1e6, g: 1e9 }[unit.toLowerCase() as "" | "k" | "m" | "g"];
}

/** A compressed size: a file size, or bits per weight. */
export const downloadOption = v.pipe(
  v.string(),
  v.regex(/^\d+(\.\d+)?\s*([kMG]?B|bpw)$/i, "takes a size such as 100kB, or bits per weight such as 2.5bpw"),
);

/** @param weights number of the model's weights. */
export function downloadBytesOf(text: string, weights: number): number {
  const [, bits] = /^([\d.]+)\s*bpw$/i.exec(text) ?? [];
  return bits === undefined ? bytesOf(text) : (Number(bits) * weights) / 8;
}

type Reader = (value: unknown) => PithError | undefined;

const readers = new WeakMap<object, Reader>();

/** Rejects a value with the error that `read` throws, so that option languages are parsed before any work. The caller adds the option's name. */
export function understood<T>(read: (value: T) => unknown) {
  const refuse = (value: T): PithError | undefined => {
    try {
      read(value);
      return undefined;
    } catch (error) {
      if (error instanceof PithError) return error;
      throw error;
    }
  };
  const requirement = (value: T): boolean => refuse(value) === undefined;
  readers.set(requirement, refuse as Reader);
  return v.check<T, (issue: v.CheckIssue<T>) => string>(requirement, ({ input }) =>
    stripPeriod(refuse(input)?.sentence ?? ""),
  );
}

/** Returns the error behind an issue of `understood`. */
export function rejectionOf({
  requirement,
  input,
}: {
  readonly requirement?: unknown;
  readonly input: unknown;
}): PithError | undefined {
  return typeof requirement === "function" ? readers.get(requirement)?.(input) : undefined;
}

/** The help heading of flags that select layers. */
const layersGroup = "Layers:";

const names = v.optional(
  v.union([v.string(), v.array(v.string())], "takes the name of a layer, or a list of names and patterns"),
);

/** Per-layer options: `entries`, which have no defaults. */
export const overridesOption = <E extends v.ObjectEntries>(entries: E) => {
  const names = Object.keys(entries);
  return described(
    v.optional(v.record(v.string(), v.strictObject(entries))),
    `rules such as "fc*:${names[0]}=…": ${names.join(", ")}`,
    { value: "rule", perLayer: true, group: layersGroup },
  );
};

const listed = { value: "layer,…", group: layersGroup };

/** The type of `selectionOptions` with descriptions: editors show none for spread entries. */
export interface LayerSelection {
  /** Names or patterns of layers, or operator types. Default: all. */
  readonly layers?: string | string[] | undefined;
  /** Names or patterns of layers to exclude. */
  readonly except?: string | string[] | undefined;
}

/** `layers` and `except`, as `selectLayers` takes them. `verb` is what the pass does to a layer. */
export const selectionOptions = (verb: string, opposite = "exclude") => ({
  layers: described(
    names,
    `layers to ${verb}: names, patterns such as "layer4*", operator types (default: all)`,
    listed,
  ),
  except: described(names, `layers to ${opposite}: names, patterns or operator types`, listed),
});
