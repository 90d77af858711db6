import { PithError, truncateList } from "../errors.ts";
import { byNearness, nearest } from "../graph/nearest.ts";

/** Options that select layers and override other options per layer. */
export interface Selection {
  /** Names, patterns or operator types: "fc1", "layer1.*", "Conv". Default: all. */
  readonly layers?: string | readonly string[] | undefined;
  readonly except?: string | readonly string[] | undefined;
  /** Options by layer name, pattern or operator type. */
  readonly overrides?: Readonly<Record<string, object>> | undefined;
  /** Names of layers that are left out without an error. */
  readonly unfit?: ReadonlySet<string>;
}

interface Selectable {
  readonly name: string;
  readonly node?: { readonly op: string };
}

/**
 * Returns the layers that a selection includes.
 * @param extraTypes Operator types that a selection can name even if no layer has them.
 * @throws PithError E_NAME for a name or pattern that matches no layer and no operator type; E_OPTION if `except` excludes all selected layers.
 */
export function selectLayers<L extends Selectable>(
  all: readonly L[],
  selection: Selection,
  extraTypes: ReadonlySet<string> = new Set(),
): readonly L[] {
  const patterns = list(selection.layers);
  const excluded = list(selection.except);
  for (const pattern of [...(patterns ?? []), ...(excluded ?? [])]) {
    if (extraTypes.has(pattern) || all.some((layer) => isLayer([pattern], layer))) continue;
    const names = [...new Set(all.map(({ name }) => name))];
    throw new PithError("E_NAME", `No layer is called "${pattern}".`, { hint: namesHint(pattern, names) });
  }
  for (const pattern of Object.keys(selection.overrides ?? {})) {
    if (all.some((layer) => isLayer([pattern], layer))) continue;
    const names = [...new Set(all.map(({ name }) => name))];
    const text = `\`overrides\`: no layer or operator type is called "${pattern}".`;
    throw new PithError("E_NAME", text, { hint: namesHint(pattern, names) });
  }
  const chosen = all.filter(
    (layer) => (patterns === undefined || isLayer(patterns, layer)) && !isLayer(excluded, layer),
  );
  if (chosen.length === 0 && patterns !== undefined && excluded !== undefined)
    throw new PithError("E_OPTION", 'No layer is left: "except" names every layer that "layers" names.');
  return chosen.filter(({ name }) => selection.unfit?.has(name) !== true);
}

/**
 * Returns the options of a layer. Overrides of its operator type replace those of the pass, and overrides of
 * its name replace both. Later patterns replace earlier ones.
 * @param exclusive Options that replace each other: setting one unsets the others.
 * @returns The options as `own`, and the kind of the strongest override that applies as `decidedBy`.
 */
export function optionsOfLayer<O extends Pick<Selection, "overrides">>(
  options: O,
  { name, node }: Selectable,
  exclusive: readonly string[] = [],
): { readonly own: O; readonly decidedBy: "global" | "op" | "layer" } {
  const overrides = Object.entries(options.overrides ?? {});
  const ofLayer = overrides.filter(([pattern]) => matches(pattern, name));
  const ofOperator = overrides.filter(([pattern]) => pattern === node?.op && !matches(pattern, name));
  const none = Object.fromEntries(exclusive.map((option) => [option, undefined]));
  const layers = [...ofOperator, ...ofLayer].flatMap(([, values]) =>
    exclusive.some((option) => Reflect.get(values, option) !== undefined) ? [none, values] : [values],
  );
  const merged: O = Object.assign({}, options, ...layers);
  return { own: merged, decidedBy: ofLayer.length > 0 ? "layer" : ofOperator.length > 0 ? "op" : "global" };
}

/** The maximum number of layer names in a hint. */
const namesShown = 12;

/** Returns a hint such as `Did you mean "fc1"? Layers: fc1, fc2.`, with the most similar names first. */
function namesHint(pattern: string, names: readonly string[]): string {
  if (names.length === 0) return "The model has no layers with a weight.";
  const meant = nearest(pattern, names);
  // If several names are equally similar, none is suggested.
  const isUnique = meant === nearest(pattern, names.toReversed());
  const question = meant === undefined || !isUnique ? "" : `Did you mean "${meant}"? `;
  const sorted = byNearness(pattern, names);
  return `${question}Layers: ${truncateList(sorted, namesShown)}.`;
}

const isLayer = (patterns: readonly string[] | undefined, { name, node }: Selectable): boolean =>
  isNamed(patterns, name) || patterns?.some((pattern) => pattern === node?.op) === true;

/** Returns whether `except` names an operator type. */
export const excludesType = ({ except }: Selection, type: string): boolean => list(except)?.includes(type) === true;

/** Returns whether a name matches one of the patterns. */
export function isNamed(patterns: Selection["layers"], name: string): boolean {
  return (list(patterns) ?? []).some((pattern) => matches(pattern, name));
}

function matches(pattern: string, name: string): boolean {
  const escaped = pattern.split("*").map((part) => part.replace(/[.+?^${}()|[\]\\]/g, "\\$&"));
  return new RegExp(`^${escaped.join(".*")}$`).test(name);
}

function list(patterns: string | readonly string[] | undefined): readonly string[] | undefined {
  if (patterns === undefined) return undefined;
  return typeof patterns === "string" ? patterns.split(",").map((pattern) => pattern.trim()) : patterns;
}
