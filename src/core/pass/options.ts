/** Declares options that several passes share, and checks of option texts. */
import * as v from "valibot";
import { PithError, stripPeriod } from "#graph";

/** Facts about a flag. A type alias, because Valibot's metadata requires an index signature, which interfaces lack. */
export type FlagMetadata = {
  readonly short?: string;
  readonly value?: string;
  /** The help text of the flag --no-…, for an option that is true by default. */
  readonly negated?: string;
  /** Whether the option is set per layer, as in `conv1:option=value`. */
  readonly perLayer?: boolean;
  /** True rejects 1 without a percent sign (1 % or all?). False accepts numbers above 1, which other options with shares reject. */
  readonly percent?: boolean;
  /** Whether `--help` shows the flag; `--help-all` shows every flag. */
  readonly common?: boolean;
  /** The help heading above the flag; "Options:" by default. */
  readonly group?: string;
  /** The accepted words with their meanings, as a section after the flags in the help. */
  readonly meanings?: Meanings;
  /** Words that are not accepted, with the advice that the error shows for each. */
  readonly instead?: Readonly<Record<string, string>>;
};

export interface Meanings {
  readonly title: string;
  readonly rows: readonly (readonly [word: string, meaning: string])[];
}

/** A schema with a help text and flag metadata. The alias keeps the declarations of the package short. */
export type Described<S extends v.GenericSchema> = v.SchemaWithPipe<
  readonly [S, v.DescriptionAction<v.InferOutput<S>, string>, v.MetadataAction<v.InferOutput<S>, FlagMetadata>]
>;

export const withHelp = <S extends v.GenericSchema>(schema: S, text: string, facts: FlagMetadata = {}): Described<S> =>
  v.pipe(schema, v.description(text), v.metadata(facts));

/** Adds a help text and flag metadata, and makes the option optional without a default. */
export const option = <S extends v.GenericSchema>(
  schema: S,
  text: string,
  facts: FlagMetadata = {},
): Described<v.OptionalSchema<S, undefined>> => withHelp(v.optional(schema), text, facts);

export const countOption = v.pipe(v.number(), v.integer(), v.minValue(1));

export const positiveOption = v.pipe(v.number(), v.gtValue(0, "must be above 0"));

export const minutesOption = v.pipe(positiveOption, v.maxValue(43_200, "must be at most 43200 (30 days)"));

/** A file size with decimal units (1 MB = 1,000,000 bytes). */
export const sizeOption = v.pipe(v.string(), v.regex(/^\d+(\.\d+)?\s*[kMG]?B$/i, "takes a size such as 300kB or 2MB"));

export function parseSize(text: string): number {
  const [, number = "", unit = ""] = /^([\d.]+)\s*([kMG]?)B$/i.exec(text) ?? [];
  return Number(number) * { "": 1, k: 1e3, m: 1e6, g: 1e9 }[unit.toLowerCase() as "" | "k" | "m" | "g"];
}

export const downloadOption = v.pipe(
  v.string(),
  v.regex(/^\d+(\.\d+)?\s*([kMG]?B|bpw)$/i, "takes a size such as 100kB, or bits per weight such as 2.5bpw"),
);

export function parseDownloadSize(text: string, weights: number): number {
  const [, bits] = /^([\d.]+)\s*bpw$/i.exec(text) ?? [];
  return bits === undefined ? parseSize(text) : (Number(bits) * weights) / 8;
}

type Reader = (value: unknown) => PithError | undefined;

const readers = new WeakMap<object, Reader>();

/** Returns a check that rejects a value with the error of `read`, so that option texts are parsed before any work. */
export function checkWith<T>(read: (value: T) => unknown) {
  const rejection = (value: T): PithError | undefined => {
    try {
      read(value);
      return undefined;
    } catch (error) {
      if (error instanceof PithError) return error;
      throw error;
    }
  };
  const requirement = (value: T): boolean => rejection(value) === undefined;
  readers.set(requirement, rejection as Reader);
  return v.check<T, (issue: v.CheckIssue<T>) => string>(requirement, ({ input }) =>
    stripPeriod(rejection(input)?.sentence ?? ""),
  );
}

/** Returns the error that caused an issue of `checkWith`. */
export function rejectionOf({
  requirement,
  input,
}: {
  readonly requirement?: unknown;
  readonly input: unknown;
}): PithError | undefined {
  return typeof requirement === "function" ? readers.get(requirement)?.(input) : undefined;
}

const layersGroup = "Layers:";

const layerNames = v.optional(
  v.union([v.string(), v.array(v.string())], "takes the name of a layer, or a list of names and patterns"),
);

export const overridesOption = <E extends v.ObjectEntries>(entries: E) => {
  const names = Object.keys(entries);
  return withHelp(
    v.optional(v.record(v.string(), v.strictObject(entries))),
    `rules such as "fc*:${names[0]}=…": ${names.join(", ")}`,
    { value: "rule", perLayer: true, group: layersGroup },
  );
};

const layerListFlag = { value: "layer,…", group: layersGroup };

/** The options of `selectionOptions` with descriptions, because editors do not show them for spread entries. */
export interface LayerSelection {
  /** Names or patterns of layers, or operator types; all by default. */
  readonly layers?: string | string[] | undefined;
  /** Names or patterns of layers to exclude. */
  readonly except?: string | string[] | undefined;
}

/** Returns the options `layers` and `except`, which `selectLayers` reads. The verb states in the help what the pass does to a layer. */
export const selectionOptions = (verb: string, opposite = "exclude") => ({
  layers: withHelp(
    layerNames,
    `layers to ${verb}: names, patterns such as "layer4*", operator types (default: all)`,
    layerListFlag,
  ),
  except: withHelp(layerNames, `layers to ${opposite}: names, patterns or operator types`, layerListFlag),
});
